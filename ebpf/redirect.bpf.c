// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Redirects TCP connections for the endpoints to the agent's listener and records their callers. Redirects, records
 * and refuses what cannot be recorded; it decides nothing about requests. Identity lives in the storage of the socket
 * that was connected, and from the handshake on in the storage of the socket that was accepted for it. It is never found by a
 * thread, an address or a port, so that one connection cannot inherit another's.
 *
 * Built twice: with -DWITHOUT_TASK_FIELDS nothing is read through CO-RE, for kernels without BTF.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "redirect.h"

#define LOOPBACK 0x7f000001U
#define LOOPBACK_NETWORK 0x7f000000U
#define LOOPBACK_INDEX 1 /* of the loopback device, in every network namespace */
#define AF_INET 2
#define AF_INET6 10
#define SOL_SOCKET 1
#define SO_BINDTODEVICE 25
#define SOCK_STREAM 1
#define SOCK_DGRAM 2

/* What a sock_addr program answers the kernel. */
#define REFUSE 0
#define PROCEED 1

/* What is known about one socket that was connected to a redirected endpoint, or directly to the listener. */
struct origin {
	struct audit_record record;
	struct handshake handshake; /* valid while published */
	__u32 state;
	__be32 chosen_source_be; /* the source address that we gave the socket; 0: none */
};

enum origin_state {
	ORIGIN_NONE, /* storage exists, nothing is claimed */
	ORIGIN_CONNECTING, /* on its way to the listener; redirected or direct, as the record says */
	ORIGIN_PUBLISHED, /* established, and its record is in the map of records */
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

/* Hands records from established clients to the sockets accepted for them. Not LRU: a flood must not push out another's record. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_RECORDS);
	__type(key, struct handshake);
	__type(value, struct audit_record);
} records SEC(".maps");

/* How many records are on their way, by the PENDING_ indexes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PENDING_FIRST_BUCKET + PENDING_BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} pending SEC(".maps");

/* Users who had more records on their way than they may: how many were refused. For people; decides nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_THROTTLED);
	__type(key, __u32);
	__type(value, __u64);
} throttled SEC(".maps");

/*
 * Users who have all the connections that they may, until when their connects are refused, in nanoseconds of the monotonic clock.
 * Written by the agent: what it would accept only to close would stand in the backlog before the connections of others.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_REFUSED_USERS);
	__type(key, __u32);
	__type(value, __u64);
} refused_until SEC(".maps");

/* Connections of users other than root in the listener's backlog, by the QUEUE_ indexes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} queue SEC(".maps");

/* The record of each accepted socket. The agent reads it by descriptor; it goes with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct audit_record);
} accepted SEC(".maps");

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

/* Root, or the part of a user id by which users are counted. */
static __always_inline __u32 pending_index(__u32 uid)
{
	return uid ? PENDING_FIRST_BUCKET + uid % PENDING_BUCKETS : PENDING_ROOT;
}

/* Adds, and answers whether the sum is within the limit. Two at once may both find it exceeded; never neither. */
static __always_inline bool add_pending(__u32 index, __u64 limit)
{
	__u64 *count = bpf_map_lookup_elem(&pending, &index);

	if (!count)
		return false;
	__sync_fetch_and_add(count, 1);
	return *(volatile __u64 *)count <= limit;
}

static __always_inline void subtract_pending(__u32 index)
{
	__u64 *count = bpf_map_lookup_elem(&pending, &index);

	if (count)
		__sync_fetch_and_add(count, -1);
}

static __always_inline void release_share(__u32 uid)
{
	subtract_pending(pending_index(uid));
	if (uid)
		subtract_pending(PENDING_OTHERS);
}

static __always_inline bool take_share(__u32 uid)
{
	bool fits = add_pending(pending_index(uid), uid ? MAX_RECORDS_PER_USER : MAX_RECORDS);

	if (uid)
		fits &= add_pending(PENDING_OTHERS, MAX_RECORDS - ROOT_RESERVE);
	if (!fits)
		release_share(uid);
	return fits;
}

/* The one that removes the record returns its share; only one can. */
static __always_inline bool remove_record(const struct handshake *handshake, __u32 uid)
{
	if (bpf_map_delete_elem(&records, handshake))
		return false;
	release_share(uid);
	return true;
}

static __always_inline void withdraw(struct origin *origin)
{
	if (origin->state == ORIGIN_PUBLISHED && remove_record(&origin->handshake, origin->record.real_uid))
		count(COUNT_CLEANED);
	origin->state = ORIGIN_NONE;
}

/* Binds to an address without taking a port; the family is the socket's, for IPv6 the address is mapped. */
static __always_inline bool bind_source(struct bpf_sock_addr *ctx, __be32 address)
{
	if (ctx->family == AF_INET6) {
		struct sockaddr_in6 name = { .sin6_family = AF_INET6 };

		if (address) {
			name.sin6_addr.s6_addr32[2] = bpf_htonl(0xffff);
			name.sin6_addr.s6_addr32[3] = address;
		}
		return !bpf_bind(ctx, (struct sockaddr *)&name, sizeof(name));
	} else {
		struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = address };

		return !bpf_bind(ctx, (struct sockaddr *)&name, sizeof(name));
	}
}

/* What an earlier connect of this socket left must not speak for the one that starts now, nor decide where it comes from. */
static __always_inline void forget(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct origin *origin;
	__be32 chosen;

	if (!sk)
		return;
	origin = bpf_sk_storage_get(&origins, sk, NULL, 0);
	if (!origin)
		return;
	withdraw(origin);
	chosen = origin->chosen_source_be;
	bpf_sk_storage_delete(&origins, sk);
	if (chosen && sk->src_ip4 == chosen)
		bind_source(ctx, 0);
}

/*
 * Gives the connection a source address of its own in loopback's network. All redirected connections have one destination: with
 * one source address as well, a single user could hold every source port, or sit on the one that another's connect is given.
 * A socket that its program bound keeps what it has, and where loopback has no such network the connect goes on without.
 */
static __always_inline __be32 choose_source(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 number, high;
	__be32 address;

	if (!sk || sk->src_port || sk->src_ip4)
		return 0;
	if (ctx->family == AF_INET6 && (sk->src_ip6[0] || sk->src_ip6[1] || sk->src_ip6[2] || sk->src_ip6[3]))
		return 0;
	/* The clock's low bits keep it from being foretold by who watches the numbers that others are given. */
	number = bpf_get_prandom_u32() ^ (__u32)bpf_ktime_get_ns() * 0x9e3779b1U;
	/* 127.1.0.0 to 127.254.255.255: not where services of the machine listen, and no broadcast address. */
	high = 1 + (number >> 16) % 254;
	address = bpf_htonl(LOOPBACK_NETWORK | high << 16 | (number & 0xffff));
	return bind_source(ctx, address) ? address : 0;
}

/*
 * A socket that is bound to another device would send its SYN out there. It is bound to loopback instead, on which alone the
 * listener can be reached.
 */
static __always_inline bool leave_device(struct bpf_sock_addr *ctx)
{
	char loopback[] = "lo";

	if (!ctx->sk || !ctx->sk->bound_dev_if || ctx->sk->bound_dev_if == LOOPBACK_INDEX)
		return true;
	return !bpf_setsockopt(ctx, SOL_SOCKET, SO_BINDTODEVICE, loopback, sizeof(loopback));
}

static __always_inline bool is_exempt(const struct settings *config, __u32 tgid)
{
	if (!config->exempt_tgid || tgid != config->exempt_tgid)
		return false;
	/* The number may be another process's after the agent died: the redirect outlives it. Only root enters its cgroup. */
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

static __always_inline bool is_queue_full(void)
{
	__u32 entered_index = QUEUE_ENTERED, left_index = QUEUE_LEFT;
	__u64 *entered = bpf_map_lookup_elem(&queue, &entered_index);
	__u64 *left = bpf_map_lookup_elem(&queue, &left_index);

	return entered && left && (__s64)(*entered - *left) >= MAX_QUEUED_OTHERS;
}

/* Root's share is never used up by others, and root is never refused for it. */
static __always_inline bool has_no_share(void)
{
	__u32 uid = (__u32)bpf_get_current_uid_gid();
	__u64 *until;

	if (!uid)
		return false;
	until = bpf_map_lookup_elem(&refused_until, &uid);
	return (until && bpf_ktime_get_ns() < *until) || is_queue_full();
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
 * address is the IPv4 destination address, in network order.
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
	forget(ctx);

	endpoint.address_be = address;
	endpoint.port_be = (__be16)ctx->user_port;
	is_guarded = bpf_map_lookup_elem(&guarded, &endpoint) != NULL;
	if (!is_guarded && !reaches_listener(config, address, endpoint.port_be))
		return PROCEED;
	netns_cookie = bpf_get_netns_cookie(ctx);

	if (!is_guarded) {
		if (netns_cookie != config->agent_netns)
			return PROCEED;
		if (has_no_share())
			goto no_share;
		origin = bpf_sk_storage_get(&origins, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		if (!origin)
			goto no_storage;
		/* Recorded as well: direct connections have shares by user, too. */
		fill_record(ctx, &origin->record, netns_cookie, address, mapped);
		origin->record.flags |= RECORD_DIRECT;
		origin->state = ORIGIN_CONNECTING;
		return PROCEED;
	}
	if (is_exempt(config, bpf_get_current_pid_tgid() >> 32)) {
		count(COUNT_EXEMPT);
		return PROCEED;
	}
	/* Another namespace has its own loopback: requests would reach foreign processes. */
	if (netns_cookie != config->agent_netns) {
		if (config->pass_foreign_namespaces)
			return PROCEED;
		count(COUNT_REFUSED_FOREIGN_NAMESPACE);
		return REFUSE;
	}
	if (has_no_share())
		goto no_share;
	origin = bpf_sk_storage_get(&origins, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!origin)
		goto no_storage;
	if (!leave_device(ctx)) {
		count(COUNT_REFUSED_DEVICE);
		return REFUSE;
	}
	fill_record(ctx, &origin->record, netns_cookie, address, mapped);
	origin->chosen_source_be = choose_source(ctx);
	origin->state = ORIGIN_CONNECTING;
	count(COUNT_REDIRECTED);
	*redirect = true;
	return PROCEED;

no_storage:
	count(COUNT_REFUSED_NO_STORAGE);
	return REFUSE;

no_share:
	count(COUNT_REFUSED_SHARE);
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
			forget(ctx);
		return PROCEED;
	}
	verdict = handle_connect(ctx, address, true, &redirect);
	if (!redirect)
		return verdict;
	ctx->user_ip6[3] = bpf_htonl(LOOPBACK);
	ctx->user_port = bpf_htons(config->listener_port);
	return verdict;
}

static __always_inline bool goes_to_listener(const struct bpf_sock_ops *ctx, const struct settings *config)
{
	return ctx->remote_ip4 == bpf_htonl(LOOPBACK) && bpf_ntohl(ctx->remote_port) == config->listener_port;
}

/*
 * The client is established, and its answer to the listener has not left: the record is there before the listener's half is.
 * Before this moment there is none, so that unanswered connects cost nothing that is shared.
 */
static __always_inline void publish(struct bpf_sock_ops *ctx, struct settings *config)
{
	struct handshake handshake = {};
	struct bpf_sock *sk = ctx->sk;
	struct origin *origin;
	__u32 uid;

	/* Rewritten once more by a program behind us: it does not go to the listener. */
	if (!goes_to_listener(ctx, config) || !sk)
		return;
	origin = bpf_sk_storage_get(&origins, sk, NULL, 0);
	if (!origin || origin->state != ORIGIN_CONNECTING)
		return;
	handshake.netns_cookie = bpf_get_netns_cookie(ctx);
	handshake.client_address_be = ctx->local_ip4;
	handshake.listener_address_be = ctx->remote_ip4;
	handshake.client_sequence = ctx->snd_una;
	handshake.listener_sequence = ctx->rcv_nxt;
	handshake.client_port = ctx->local_port;
	uid = origin->record.real_uid;
	if (!take_share(uid)) {
		__u64 one = 1, *refused = bpf_map_lookup_elem(&throttled, &uid);

		if (refused)
			__sync_fetch_and_add(refused, 1);
		else
			bpf_map_update_elem(&throttled, &uid, &one, BPF_ANY);
		count(COUNT_PUBLISH_FAILED);
		return;
	}
	/* Flags of other programs stay. Without the callback nothing would remove the record, so there must be none. */
	if (bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG) ||
	    bpf_map_update_elem(&records, &handshake, &origin->record, BPF_NOEXIST)) {
		release_share(uid);
		count(COUNT_PUBLISH_FAILED);
		return;
	}
	origin->handshake = handshake;
	origin->state = ORIGIN_PUBLISHED;
	if (!(origin->record.flags & RECORD_DIRECT))
		count(COUNT_PUBLISHED);
}

/* The listener's half exists, and accept(2) has not returned it: it gets the record of the client whose handshake made it. */
static __always_inline void bind_record(struct bpf_sock_ops *ctx, struct settings *config)
{
	struct handshake handshake = {};
	struct bpf_sock *sk = ctx->sk;
	__u32 uid, entered_index = QUEUE_ENTERED;
	struct audit_record *record;
	__u64 *entered;
	bool redirected;

	/* Every TCP connection that this machine accepts comes by: for those that are not ours this is all it costs. */
	if (ctx->local_port != config->listener_port || !sk)
		return;
	handshake.netns_cookie = bpf_get_netns_cookie(ctx);
	handshake.client_address_be = ctx->remote_ip4;
	handshake.listener_address_be = ctx->local_ip4;
	handshake.client_sequence = ctx->rcv_nxt;
	handshake.listener_sequence = ctx->snd_nxt;
	handshake.client_port = bpf_ntohl(ctx->remote_port);
	record = bpf_map_lookup_elem(&records, &handshake);
	if (!record)
		return;
	if (!bpf_sk_storage_get(&accepted, sk, record, BPF_SK_STORAGE_GET_F_CREATE))
		return;
	uid = record->real_uid;
	redirected = !(record->flags & RECORD_DIRECT);
	if (!remove_record(&handshake, uid))
		return;
	count(redirected ? COUNT_ACCEPTED : COUNT_ACCEPTED_DIRECT);
	entered = uid ? bpf_map_lookup_elem(&queue, &entered_index) : NULL;
	if (entered)
		__sync_fetch_and_add(entered, 1);
}

SEC("sockops")
int redirect_sockops(struct bpf_sock_ops *ctx)
{
	struct settings *config;
	struct bpf_sock *sk;
	struct origin *origin;

	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		config = find_settings();
		if (config)
			publish(ctx, config);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		config = find_settings();
		if (config)
			bind_record(ctx, config);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		sk = ctx->sk;
		if (ctx->args[1] != BPF_TCP_CLOSE || !sk)
			break;
		origin = bpf_sk_storage_get(&origins, sk, NULL, 0);
		if (origin)
			withdraw(origin);
		break;
	}
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
	if (!origin || !origin->record.socket_cookie || origin->record.flags & RECORD_DIRECT)
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

/* A number that libbpf reads for us and kernels since 5.0 ignore: it gives the agent the layout of this object. */
__u32 LAYOUT SEC("version") = LAYOUT_VERSION << 8 | RECORD_VERSION;
