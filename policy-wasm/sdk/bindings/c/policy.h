// Generated from policy-wasm/wit/policy.wit by scripts/build-bindings.ts; do not edit.
// azure:proxy-agent-policy@1.0.0. Implement the functions at the end. Arguments, and what policy_allocate gives, are valid until the
// call is over; what is allocated within policy_configure, and its settings, are valid for good.
#ifndef AZURE_PROXY_AGENT_POLICY_H
#define AZURE_PROXY_AGENT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** UTF-8 without a zero at the end. */
typedef struct { const char *data; size_t bytes; } policy_text;
typedef struct { const uint8_t *data; size_t length; } policy_bytes;

/** A string literal as text. */
#define POLICY_TEXT(literal) ((policy_text){ "" literal, sizeof(literal) - 1 })

/** What must be there: traps unless the condition holds, and a module that traps denies. No build option takes it away. */
#define POLICY_MUST(condition) ((condition) ? (void)0 : __builtin_trap())

bool policy_text_equals(policy_text left, policy_text right);
bool policy_text_starts_with(policy_text text, policy_text beginning);
policy_text policy_text_joined(policy_text left, policy_text right);
policy_text policy_text_of_number(uint64_t number);
/** Memory aligned for everything; traps when there is none. Never freed by hand. */
void *policy_allocate(size_t bytes);

/** The protected host service: the destination of the caller's connect(2). Never taken from the URL or the Host header. */
typedef uint8_t policy_endpoint;
enum {
	/** 168.63.129.16:80, the fabric's control service. Only root callers reach a policy. */
	POLICY_ENDPOINT_WIRESERVER = 0,
	/** 168.63.129.16:32526, the guest agent's plugin service. Only root callers reach a policy. */
	POLICY_ENDPOINT_HOSTGA = 1,
	/** 169.254.169.254:80, the instance metadata service: any local user may call it. */
	POLICY_ENDPOINT_IMDS = 2,
};

/** The methods that the agent forwards; any other one gets 405 before any policy is called. */
typedef uint8_t policy_method;
enum {
	/** Reads something. */
	POLICY_METHOD_GET = 0,
	/** As get, for the head of the answer only. */
	POLICY_METHOD_HEAD = 1,
	/** Sends something, most often a body that no policy ever sees. */
	POLICY_METHOD_POST = 2,
	/** Stores something. */
	POLICY_METHOD_PUT = 3,
	/** Removes something. */
	POLICY_METHOD_DELETE = 4,
	/** Queries what is possible. */
	POLICY_METHOD_OPTIONS = 5,
	/** Changes a part of something. */
	POLICY_METHOD_PATCH = 6,
};

typedef struct { const policy_text *data; size_t length; } policy_text_list;

/**
 * One `name=value` of the query. Both are percent-decoded once (`+` is a space) and have A-Z folded to a-z; other
 * letters are kept. The name is never empty; a parameter without `=` has an empty value.
 */
typedef struct {
	/** Never empty. */
	policy_text name;
	/** Empty when there was none. */
	policy_text value;
} policy_query_parameter;
_Static_assert(offsetof(policy_query_parameter, name) == 0, "layout of query-parameter");
_Static_assert(offsetof(policy_query_parameter, value) == 8, "layout of query-parameter");
_Static_assert(sizeof(policy_query_parameter) == 16, "layout of query-parameter");

typedef struct { const policy_query_parameter *data; size_t length; } policy_query_parameter_list;

/** One request header field. Values that are not UTF-8 are never passed on: such a field is left out. */
typedef struct {
	/** Lower-case. */
	policy_text name;
	/** Without outer blanks, case kept. */
	policy_text value;
} policy_header_field;
_Static_assert(offsetof(policy_header_field, name) == 0, "layout of header-field");
_Static_assert(offsetof(policy_header_field, value) == 8, "layout of header-field");
_Static_assert(sizeof(policy_header_field) == 16, "layout of header-field");

typedef struct { const policy_header_field *data; size_t length; } policy_header_field_list;

/** The request in its canonical form. An ambiguous request never reaches a policy. */
typedef struct {
	/** Where the connection went. */
	policy_endpoint endpoint;
	/** The request method. */
	policy_method method;
	/**
	 * The path: percent-decoded once, A-Z folded to a-z, ASCII only, `.` and `..` resolved, empty segments and matrix
	 * parameters (`;…`) dropped. `/` is the empty list. No segment is empty or contains `/`.
	 */
	policy_text_list segments;
	/** The path ended in `/`. False for `/` itself. */
	bool trailing_slash;
	/** In the order received; names may repeat, and hosts differ in which of them they use. */
	policy_query_parameter_list query;
	/**
	 * Only the fields that the operator named when the module was added, in the order received; empty for the rules
	 * component. Chosen by the caller: good for narrowing, never proof of identity.
	 */
	policy_header_field_list headers;
	/** Whole seconds since boot when the request was read; 0 when not provided. Only differences are meaningful. */
	uint64_t uptime_seconds;
	/** Whole seconds since 1970-01-01T00:00:00Z by the VM's clock when the request was read; 0 when not provided. */
	uint64_t unix_seconds;
} policy_request;
_Static_assert(offsetof(policy_request, endpoint) == 0, "layout of request");
_Static_assert(offsetof(policy_request, method) == 1, "layout of request");
_Static_assert(offsetof(policy_request, segments) == 4, "layout of request");
_Static_assert(offsetof(policy_request, trailing_slash) == 12, "layout of request");
_Static_assert(offsetof(policy_request, query) == 16, "layout of request");
_Static_assert(offsetof(policy_request, headers) == 24, "layout of request");
_Static_assert(offsetof(policy_request, uptime_seconds) == 32, "layout of request");
_Static_assert(offsetof(policy_request, unix_seconds) == 40, "layout of request");
_Static_assert(sizeof(policy_request) == 48, "layout of request");

typedef struct { bool is_some; policy_text value; } policy_text_option;

/**
 * The caller: facts that the kernel pinned when the connection was made, and what follows from them. An unverified field
 * is absent. Treat absent as "another caller": it must never be what makes a policy allow.
 */
typedef struct {
	/** Process id in the VM's initial pid namespace. */
	uint32_t process_id;
	/** Real user id in the initial user namespace. */
	uint32_t user_id;
	/** Real and effective user id are both 0. */
	bool elevated;
	/** Account name of user-id. */
	policy_text_option user_name;
	/** Names of the groups of that account, no order promised; empty when unknown. */
	policy_text_list user_groups;
	/** Path of the executable in the agent's mount namespace, verified to be the very file that runs. */
	policy_text_option executable_path;
	/** Last component of executable-path. */
	policy_text_option process_name;
	/**
	 * SHA-256 of the content of that very file, 64 lower-case hex digits. The agent reads the file only when an active
	 * policy needs it: without such a policy this is absent.
	 */
	policy_text_option executable_sha256;
	/** Id of the caller's cgroup (cgroup v2), as the kernel numbers it; changes when the cgroup is created again. */
	uint64_t cgroup_id;
	/**
	 * Path of that cgroup below the root of the hierarchy, for instance `/system.slice/ssh.service`; `/` is the root itself.
	 * Verified to be the path of the cgroup with this id. Segments are never empty, `.` or `..`.
	 */
	policy_text_option cgroup_path;
} policy_caller;
_Static_assert(offsetof(policy_caller, process_id) == 0, "layout of caller");
_Static_assert(offsetof(policy_caller, user_id) == 4, "layout of caller");
_Static_assert(offsetof(policy_caller, elevated) == 8, "layout of caller");
_Static_assert(offsetof(policy_caller, user_name) == 12, "layout of caller");
_Static_assert(offsetof(policy_caller, user_groups) == 24, "layout of caller");
_Static_assert(offsetof(policy_caller, executable_path) == 32, "layout of caller");
_Static_assert(offsetof(policy_caller, process_name) == 44, "layout of caller");
_Static_assert(offsetof(policy_caller, executable_sha256) == 56, "layout of caller");
_Static_assert(offsetof(policy_caller, cgroup_id) == 72, "layout of caller");
_Static_assert(offsetof(policy_caller, cgroup_path) == 80, "layout of caller");
_Static_assert(sizeof(policy_caller) == 96, "layout of caller");

/** The three answers. */
typedef uint8_t policy_outcome_kind;
enum {
	/** The request may pass, unless another policy denies it. */
	POLICY_OUTCOME_KIND_ALLOW = 0,
	/** The request must not pass. Final: no other policy can override it. */
	POLICY_OUTCOME_KIND_DENY = 1,
	/** This policy has no opinion. If every policy abstains, the request is denied. */
	POLICY_OUTCOME_KIND_ABSTAIN = 2,
};

typedef struct { policy_text first; policy_text second; } policy_text_text_pair;

typedef struct { const policy_text_text_pair *data; size_t length; } policy_text_text_pair_list;

/** A policy's answer. */
typedef struct {
	/** Which of the three. */
	policy_outcome_kind kind;
	/**
	 * A stable word for logs and alerts, for instance `not-granted`: printable ASCII, at most 256 bytes. A longer or
	 * different one counts as a failure of the policy, which denies.
	 */
	policy_text reason;
	/** Which rule decided, in the policy's own words; empty when none did. At most 4096 bytes. */
	policy_text rule;
	/** Further data for the log, as names and values: at most 16, names at most 64 bytes, values at most 256. */
	policy_text_text_pair_list labels;
} policy_outcome;
_Static_assert(offsetof(policy_outcome, kind) == 0, "layout of outcome");
_Static_assert(offsetof(policy_outcome, reason) == 4, "layout of outcome");
_Static_assert(offsetof(policy_outcome, rule) == 12, "layout of outcome");
_Static_assert(offsetof(policy_outcome, labels) == 20, "layout of outcome");
_Static_assert(sizeof(policy_outcome) == 28, "layout of outcome");

typedef struct { bool is_some; policy_outcome value; } policy_outcome_option;

/**
 * Validates settings without applying them. The bytes are the operator's, in a format of the
 * module's own choice (JSON, say), at most 1 MiB. The error text is shown to the operator.
 */
bool policy_validate_settings(policy_bytes settings, policy_text *error);

/** Applies the settings. An error keeps the policy from being used at all. */
bool policy_configure(policy_bytes settings, policy_text *error);

/** Decides one request. `so-far` is the verdict of the policies before this one; absent for the first. */
policy_outcome policy_evaluate(const policy_request *request, const policy_caller *caller, const policy_outcome *so_far_or_null);

#endif
