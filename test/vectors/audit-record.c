/*
 * Prints the first case of audit-record.json from the C struct itself, so that a change of redirect.h that the TypeScript
 * decoder does not follow fails a test. Compiled and run by proxy/adapters/ebpf/audit-record.test.ts.
 */
#include <stdio.h>

#include "../../ebpf/redirect.h"

#define NETWORK_ORDER_32(a, b, c, d) ((__u32)(a) | (__u32)(b) << 8 | (__u32)(c) << 16 | (__u32)(d) << 24)
#define NETWORK_ORDER_16(a, b) ((__u16)((a) | (b) << 8))

int main(void)
{
	struct audit_record record = {
		.netns_cookie = 0x0102030405060708,
		.socket_cookie = 0x1112131415161718,
		.cgroup_id = 0x2122232425262728,
		.start_time_ns = 0x3132333435363738,
		.exe_inode = 0x4142434445464748,
		.exe_device = 0x0fe00001,
		.exe_generation = 0xa1a2a3a4,
		.tgid = 4211,
		.tid = 4212,
		.real_uid = 1000,
		.real_gid = 0,
		.effective_uid = 1001,
		.effective_gid = 1002,
		.flags = RECORD_HAS_TASK_FIELDS | RECORD_HAS_EXECUTABLE,
		.address_be = NETWORK_ORDER_32(169, 254, 169, 254),
		.port_be = NETWORK_ORDER_16(0, 80),
		.comm = "curl",
	};
	const unsigned char *bytes = (const unsigned char *)&record;

	for (unsigned int i = 0; i < sizeof(record); i++)
		printf("%02x", bytes[i]);
	putchar('\n');
	return 0;
}
