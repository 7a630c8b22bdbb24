/* SPDX-License-Identifier: MIT */
/*
 * The bytes that the kernel programs and the agent exchange through maps. Every struct has a fixed size and no implicit
 * padding; test/vectors/audit-record.json pins the record for both languages. Values are in host byte order unless a
 * name ends in _be. Change nothing here without the TypeScript side (proxy/adapters/ebpf/audit-record.ts) and the vector.
 */
#ifndef AZURE_PROXY_AGENT_REDIRECT_H
#define AZURE_PROXY_AGENT_REDIRECT_H

#include <linux/types.h>

/*
 * Maps outlive the process that made them. LAYOUT_VERSION goes up with every change of a map's type, size, key, value or
 * meaning: a successor with another number makes maps of its own instead of using those it finds. RECORD_VERSION goes up when
 * struct audit_record changes, or where it is found: only a successor that knows the number can read records found there.
 */
#ifndef LAYOUT_VERSION
#define LAYOUT_VERSION 2
#endif
#ifndef RECORD_VERSION
#define RECORD_VERSION 2
#endif

#define COMM_BYTES 16

/* Endpoints that can be redirected at once. */
#define MAX_GUARDED 16

/*
 * Records on their way from a client's socket to the accepted one. One is there only while its client is established and the
 * listener's half of the connection does not exist yet: microseconds, or as long as the backlog is full. Only root can
 * take the last ROOT_RESERVE of them, and no user more than MAX_RECORDS_PER_USER.
 */
#define MAX_RECORDS 16384
#define ROOT_RESERVE 2048
#define MAX_RECORDS_PER_USER 2048

/* Counts of records on their way: root, all others together, then the others by a part of their user id. */
#define PENDING_ROOT 0
#define PENDING_OTHERS 1
#define PENDING_FIRST_BUCKET 2
#define PENDING_BUCKETS 1024

/*
 * Connections that wait in the listener's backlog: how many of users other than root went in, counted here, and how many the agent
 * took out, written by the agent. Others' connects are refused while this many wait, so that root's always have room (backlog 4096).
 */
#define QUEUE_ENTERED 0
#define QUEUE_LEFT 1
#define MAX_QUEUED_OTHERS 3072

/* Users whose records were refused lately, and users whose connects are refused for a moment. */
#define MAX_THROTTLED 64
#define MAX_REFUSED_USERS 1024

/* audit_record.flags */
#define RECORD_HAS_TASK_FIELDS (1U << 0) /* start time and effective ids are known */
#define RECORD_HAS_EXECUTABLE (1U << 1) /* the three exe_ fields are known; never for kernel threads */
#define RECORD_MAPPED (1U << 2) /* IPv6 socket, IPv4-mapped address */
#define RECORD_DIRECT (1U << 3) /* connected directly to the listener: not redirected, never endorsed */

/*
 * Who made one connection to the listener, and where it was meant to go. Ids are those of the initial namespaces. The agent finds
 * it in the storage of the accepted socket.
 */
struct audit_record {
	__u64 netns_cookie;
	__u64 socket_cookie;
	__u64 cgroup_id;
	__u64 start_time_ns; /* of the process (its first thread), since boot */
	__u64 exe_inode;
	__u32 exe_device; /* kernel encoding: major << 20 | minor */
	__u32 exe_generation;
	__u32 tgid;
	__u32 tid;
	__u32 real_uid;
	__u32 real_gid;
	__u32 effective_uid;
	__u32 effective_gid;
	__u32 flags;
	__be32 address_be;
	__be16 port_be;
	__u8 reserved[6]; /* zero */
	__u8 comm[COMM_BYTES];
};

/*
 * Names one TCP handshake. Addresses and ports alone do not: two sockets may share all four, when one is bound to a device. The
 * sequence numbers after the handshake are the same on both sides, and only the socket whose SYN was answered has them.
 */
struct handshake {
	__u64 netns_cookie;
	__be32 client_address_be;
	__be32 listener_address_be;
	__u32 client_sequence; /* of the first byte after the client's SYN */
	__u32 listener_sequence; /* of the first byte after the listener's */
	__u16 client_port;
	__u16 reserved[3]; /* zero */
};

struct guarded_key {
	__be32 address_be;
	__be16 port_be;
	__u16 reserved; /* zero */
};

/* One entry. The agent writes it; connect4 fills the learned fields when the agent's probe socket connects. */
struct settings {
	__u64 probe_cookie; /* socket cookie of the agent's probe; 0: no probe expected */
	__u64 agent_netns; /* learned: namespace cookie of the probe */
	__u64 exempt_start_ns; /* learned: start time of the agent, 0 when it cannot be read */
	__u64 exempt_cgroup_id; /* learned: where the agent runs; counts only when its start time cannot be read */
	__u32 exempt_tgid; /* learned: the agent as the kernel numbers it, 0: not learned yet */
	__u16 listener_port;
	__u8 pass_foreign_namespaces; /* 1: connects from other namespaces go out unchanged; 0: they are refused */
	__u8 reserved; /* zero */
};

/* Index into the map of counters. */
enum counter {
	COUNT_REDIRECTED,
	COUNT_REFUSED_NO_STORAGE,
	COUNT_REFUSED_FOREIGN_NAMESPACE,
	COUNT_EXEMPT,
	COUNT_PUBLISHED,
	COUNT_PUBLISH_FAILED,
	COUNT_CLEANED,
	COUNT_ACCEPTED,
	COUNT_REFUSED_DEVICE,
	COUNT_REFUSED_SHARE,
	COUNT_ACCEPTED_DIRECT,
	COUNTERS,
};

_Static_assert(sizeof(struct audit_record) == 104, "audit_record is 104 bytes");
_Static_assert(__builtin_offsetof(struct audit_record, exe_device) == 40, "64-bit fields come first");
_Static_assert(__builtin_offsetof(struct audit_record, tgid) == 48, "ids follow the executable");
_Static_assert(__builtin_offsetof(struct audit_record, flags) == 72, "flags follow the ids");
_Static_assert(__builtin_offsetof(struct audit_record, address_be) == 76, "the address follows the flags");
_Static_assert(__builtin_offsetof(struct audit_record, port_be) == 80, "the port follows the address");
_Static_assert(__builtin_offsetof(struct audit_record, comm) == 88, "comm comes last");
_Static_assert(sizeof(struct handshake) == 32, "handshake is 32 bytes");
_Static_assert(sizeof(struct guarded_key) == 8, "guarded_key is 8 bytes");
_Static_assert(sizeof(struct settings) == 40, "settings is 40 bytes");
_Static_assert(__builtin_offsetof(struct settings, exempt_tgid) == 32, "64-bit settings come first");
_Static_assert(__builtin_offsetof(struct settings, listener_port) == 36, "the port follows the tgid");

#endif
