// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Sends TCP connections for the guarded endpoints to the agent's listener and records who made them. Redirects, records
 * and refuses what cannot be recorded; it decides nothing about requests. Identity lives in the storage of the socket
 * that was connected, never under a thread or a port alone, so that one connection cannot inherit another's.
 *
 * Built twice: with -DWITHOUT_TASK_FIELDS nothing is read through CO-RE, for kernels without BTF.
 */
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "redirect.h"

#define LOOPBACK 0x7f000001U
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262

/* What a sock_addr program answers the kernel. */
#define REFUSE 0
#define PROCEED 1

/* What is known about one socket that was connected to a guarded endpoint, or straight to the listener. */
struct origin {
	struct audit_record record;
	struct record_key key; /* valid once published */
	__u32 state;
	__u32 reserved;
};

enum origin_state {
	ORIGIN_NONE, /* storage exists, nothing is claimed */
	ORIGIN_DIRECT, /* connects to the listener itself: must never find a record */
	ORIGIN_REDIRECTED,
	ORIGIN_PUBLISHED, /* redirected, and its record is in the map of records */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_GUARDED);
	__type(key, struct guarded_key);
	__type(value, __u32);
} guarded SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Not LRU: a flood of connections must not push out the record of somebody else's. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_RECORDS);
	__type(key, struct record_key);
	__type(value, struct audit_record);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct origin);
} origins SEC(".maps");

static __always_inline void count(__u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &index);

	/* Atomic: sockops may run in softirq on top of a connect on the same CPU. */
	if (counter)
		__sync_fetch_and_add(counter, 1);
}

static __always_inline struct settings *find_settings(void)
{
	__u32 index = 0;

	return bpf_map_lookup_elem(&settings, &index);
}

#ifndef WITHOUT_TASK_FIELDS
/* The few kernel fields we read; CO-RE finds their offsets in the running kernel. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct super_block {
	__u32 s_dev;
};

struct inode {
	unsigned long i_ino;
	__u32 i_generation;
	struct super_block *i_sb;
};

struct file {
	struct inode *f_inode;
};

struct mm_struct {
	struct file *exe_file;
};

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct cred {
	kuid_t euid;
	kgid_t egid;
};

struct task_struct {
	struct mm_struct *mm;
	const struct cred *cred;
	struct task_struct *group_leader;
	__u64 start_boottime;
};
#pragma clang attribute pop

static __always_inline __u64 current_start_time_ns(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	/* The leader's, because that is the start time /proc/PID/stat shows. */
	return BPF_CORE_READ(task, group_leader, start_boottime);
}

static __always_inline void record_task_fields(struct audit_record *record)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct inode *executable = BPF_CORE_READ(task, mm, exe_file, f_inode);

	record->start_time_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	record->effective_uid = BPF_CORE_READ(task, cred, euid.val);
	record->effective_gid = BPF_CORE_READ(task, cred, egid.val);
	record->flags |= RECORD_HAS_TASK_FIELDS;
	/* A kernel thread has no memory map and so no executable. */
	if (!executable)
		return;
	record->exe_inode = BPF_CORE_READ(executable, i_ino);
	record->exe_generation = BPF_CORE_READ(executable, i_generation);
	record->exe_device = BPF_CORE_READ(executable, i_sb, s_dev);
	record->flags |= RECORD_HAS_EXECUTABLE;
}
#else
static __always_inline __u64 current_start_time_ns(void)
{
	return 0;
}

static __always_inline void record_task_fields(struct audit_record *record)
{
	(void)record;
}
#endif

static __always_inline void withdraw(struct origin *origin)
{
	struct audit_record *published;

	if (origin->state != ORIGIN_PUBLISHED)
		return;
	origin->state = ORIGIN_NONE;
	published = bpf_map_lookup_elem(&records, &origin->key);
	/* Already taken, or the port belongs to another socket by now. */
	if (!published || published->socket_cookie != origin->record.socket_cookie)
		return;
	if (!bpf_map_delete_elem(&records, &origin->key))
		count(COUNT_CLEANED);
}

/* What an earlier connect of this socket left must not speak for the one that starts now. */
static __always_inline void forget(struct bpf_sock *sk)
{
	struct origin *origin = bpf_sk_storage_get(&origins, sk, NULL, 0);

	if (!origin)
		return;
	withdraw(origin);
	bpf_sk_storage_delete(&origins, sk);
}

static __always_inline bool is_exempt(const struct settings *config, __u32 tgid)
{
	if (!config->exempt_tgid || tgid != config->exempt_tgid)
		return false;
	/* The number may be somebody else's after the agent died: the redirect outlives it. Nobody but root enters its cgroup. */
	if (!config->exempt_start_ns)
		return config->exempt_cgroup_id == bpf_get_current_cgroup_id();
	return config->exempt_start_ns == current_start_time_ns();
}

/* The agent proves from inside the attached cgroup which process it is, in the kernel's own numbers. */
static __always_inline void learn_agent(struct bpf_sock_addr *ctx, struct settings *config)
{
	if (!config->probe_cookie || bpf_get_socket_cookie(ctx) != config->probe_cookie)
		return;
	config->agent_netns = bpf_get_netns_cookie(ctx);
	config->exempt_start_ns = current_start_time_ns();
	config->exempt_cgroup_id = bpf_get_current_cgroup_id();
	config->exempt_tgid = bpf_get_current_pid_tgid() >> 32;
}

static __always_inline void fill_record(struct bpf_sock_addr *ctx, struct audit_record *record, __u64 netns_cookie, __be32 address,
					bool mapped)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 gid_uid = bpf_get_current_uid_gid();

	record->netns_cookie = netns_cookie;
	record->socket_cookie = bpf_get_socket_cookie(ctx);
	record->cgroup_id = bpf_get_current_cgroup_id();
	record->tgid = pid_tgid >> 32;
	record->tid = (__u32)pid_tgid;
	/* The uid is the lower half, the gid the upper one, whatever the helper's name suggests. */
	record->real_uid = (__u32)gid_uid;
	record->real_gid = gid_uid >> 32;
	record->flags = mapped ? RECORD_MAPPED : 0;
	record->address_be = address;
	record->port_be = (__be16)ctx->user_port;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	record_task_fields(record);
}

/* True when the connect needs no rewrite to end at the listener; the kernel takes 0.0.0.0 for loopback. */
static __always_inline bool reaches_listener(const struct settings *config, __be32 address, __be16 port)
{
	return port == bpf_htons(config->listener_port) && (address == bpf_htonl(LOOPBACK) || address == 0);
}

/*
 * Returns REFUSE or PROCEED, and in *redirect whether the destination must become the listener.
 * address is the IPv4 address asked for, in network order.
 */
static __always_inline int handle_connect(struct bpf_sock_addr *ctx, __be32 address, bool mapped, bool *redirect)
{
	struct settings *config = find_settings();
	struct guarded_key endpoint = {};
	struct origin *origin;
	__u64 netns_cookie;
	bool is_guarded;

	*redirect = false;
	if (!config)
		return REFUSE;
	if (ctx->type != SOCK_STREAM || (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_MPTCP))
		return PROCEED;
	forget(ctx->sk);

	endpoint.address_be = address;
	endpoint.port_be = (__be16)ctx->user_port;
	is_guarded = bpf_map_lookup_elem(&guarded, &endpoint) != NULL;
	if (!is_guarded && !reaches_listener(config, address, endpoint.port_be))
		return PROCEED;
	netns_cookie = bpf_get_netns_cookie(ctx);

	if (!is_guarded) {
		if (netns_cookie != config->agent_netns)
			return PROCEED;
		origin = bpf_sk_storage_get(&origins, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		if (!origin)
			goto no_storage;
		origin->record.netns_cookie = netns_cookie;
		origin->state = ORIGIN_DIRECT;
		return PROCEED;
	}
	if (is_exempt(config, bpf_get_current_pid_tgid() >> 32)) {
		count(COUNT_EXEMPT);
		return PROCEED;
	}
	/* Loopback of another namespace is somebody else's: requests would go to strangers. */
	if (netns_cookie != config->agent_netns) {
		if (config->pass_foreign_namespaces)
			return PROCEED;
		count(COUNT_REFUSED_FOREIGN_NAMESPACE);
		return REFUSE;
	}
	origin = bpf_sk_storage_get(&origins, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!origin)
		goto no_storage;
	fill_record(ctx, &origin->record, netns_cookie, address, mapped);
	origin->state = ORIGIN_REDIRECTED;
	count(COUNT_REDIRECTED);
	*redirect = true;
	return PROCEED;

no_storage:
	count(COUNT_REFUSED_NO_STORAGE);
	return REFUSE;
}

SEC("cgroup/connect4")
int redirect_connect4(struct bpf_sock_addr *ctx)
{
	struct settings *config = find_settings();
	bool redirect;
	int verdict;

	if (!config)
		return REFUSE;
	if (ctx->type == SOCK_DGRAM) {
		learn_agent(ctx, config);
		return PROCEED;
	}
	verdict = handle_connect(ctx, ctx->user_ip4, false, &redirect);
	if (!redirect)
		return verdict;
	ctx->user_ip4 = bpf_htonl(LOOPBACK);
	ctx->user_port = bpf_htons(config->listener_port);
	return verdict;
}

/* Answers whether the address is ::ffff:a.b.c.d (or ::, which the kernel may take for it) and gives the IPv4 part. */
static __always_inline bool is_mapped(struct bpf_sock_addr *ctx, __be32 *address)
{
	__be32 marker = ctx->user_ip6[2];

	*address = ctx->user_ip6[3];
	if (ctx->user_ip6[0] || ctx->user_ip6[1])
		return false;
	return marker == bpf_htonl(0xffff) || (!marker && !*address);
}

SEC("cgroup/connect6")
int redirect_connect6(struct bpf_sock_addr *ctx)
{
	struct settings *config = find_settings();
	__be32 address;
	bool redirect;
	int verdict;

	if (!config)
		return REFUSE;
	if (!is_mapped(ctx, &address)) {
		if (ctx->type == SOCK_STREAM)
			forget(ctx->sk);
		return PROCEED;
	}
	verdict = handle_connect(ctx, address, true, &redirect);
	if (!redirect)
		return verdict;
	ctx->user_ip6[3] = bpf_htonl(LOOPBACK);
	ctx->user_port = bpf_htons(config->listener_port);
	return verdict;
}

/* The source port is known now and the SYN has not left: the record is there before the listener can accept. */
static __always_inline void publish(struct bpf_sock_ops *ctx, struct origin *origin)
{
	struct settings *config = find_settings();
	struct record_key key = {
		.netns_cookie = origin->record.netns_cookie,
		.address_be = ctx->local_ip4,
		.port = ctx->local_port,
	};

	if (origin->state == ORIGIN_DIRECT) {
		/* Should another program have switched off our close callback, what it left ends here. */
		bpf_map_delete_elem(&records, &key);
		return;
	}
	if (origin->state != ORIGIN_REDIRECTED || !config)
		return;
	/* Rewritten once more by a program behind us: it will not reach the listener. */
	if (ctx->remote_ip4 != bpf_htonl(LOOPBACK) || bpf_ntohl(ctx->remote_port) != config->listener_port)
		return;
	/* Flags of other programs stay. Without the callback nothing would remove the record, so there must be none. */
	if (bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG)) {
		bpf_map_delete_elem(&records, &key);
		count(COUNT_PUBLISH_FAILED);
		return;
	}
	if (bpf_map_update_elem(&records, &key, &origin->record, BPF_ANY)) {
		count(COUNT_PUBLISH_FAILED);
		return;
	}
	origin->key = key;
	origin->state = ORIGIN_PUBLISHED;
	count(COUNT_PUBLISHED);
}

SEC("sockops")
int redirect_sockops(struct bpf_sock_ops *ctx)
{
	bool connecting = ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB;
	bool closing = ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] == BPF_TCP_CLOSE;
	struct bpf_sock *sk;
	struct origin *origin;

	if (!connecting && !closing)
		return 1;
	sk = ctx->sk;
	if (!sk)
		return 1;
	origin = bpf_sk_storage_get(&origins, sk, NULL, 0);
	if (!origin)
		return 1;
	if (connecting)
		publish(ctx, origin);
	else
		withdraw(origin);
	return 1;
}

/* The record of a socket whose far end, as the kernel sees it, is our listener. */
static __always_inline struct audit_record *find_redirected(struct bpf_sock_addr *ctx, __be32 address)
{
	struct settings *config = find_settings();
	struct origin *origin;

	if (!config || address != bpf_htonl(LOOPBACK) || ctx->user_port != bpf_htons(config->listener_port))
		return NULL;
	origin = bpf_sk_storage_get(&origins, ctx->sk, NULL, 0);
	if (!origin || !origin->record.socket_cookie)
		return NULL;
	return &origin->record;
}

SEC("cgroup/getpeername4")
int redirect_getpeername4(struct bpf_sock_addr *ctx)
{
	struct audit_record *record = find_redirected(ctx, ctx->user_ip4);

	if (!record)
		return 1;
	ctx->user_ip4 = record->address_be;
	ctx->user_port = record->port_be;
	return 1;
}

SEC("cgroup/getpeername6")
int redirect_getpeername6(struct bpf_sock_addr *ctx)
{
	struct audit_record *record;
	__be32 address;

	if (!is_mapped(ctx, &address))
		return 1;
	record = find_redirected(ctx, address);
	if (!record)
		return 1;
	ctx->user_ip6[3] = record->address_be;
	ctx->user_port = record->port_be;
	return 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* A number that libbpf reads for us and kernels since 5.0 ignore: it tells the agent which layout this object has. */
__u32 LAYOUT SEC("version") = LAYOUT_VERSION << 8 | RECORD_VERSION;
