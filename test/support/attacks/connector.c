/*
 * Opens connections the way an attacker, or the user next to one, would: with source ports, devices and socket options of its
 * choice. Takes orders on standard input and answers one line each. Sends nothing but the request it was told, on every connection.
 *
 * usage: connector KEY=VALUE...
 *   uid, gid      who it becomes first (default 65534)
 *   to            ADDRESS:PORT
 *   mode          plain, pinned, device, device-after, reuse, reuse-any, reconnect, mapped, half-closed, closed, syn-sent (below)
 *   first, count  source ports first, first + 1, ...; plain and mapped without first let the kernel choose
 *   path, tag     target and value of X-Caller; without a path nothing is ever sent
 *   body          POST instead of GET, with a body of so many bytes of which the last one is never sent
 *   threads       idle threads beside the one that works (default 0)
 *   refill        so many of the connections that ended are opened anew each tenth of a second: a bound, or it is who gets the processor
 *                 that decides, and not who gets a connection
 *   mute          1: a keep-alive probe each second. For half a second after it the other end answers no stray SYN, so that another
 *                 socket's connect with the same four values is neither refused nor able to reset this connection
 *   wait          how long its connects may take before they count as failed, in milliseconds (default 1000)
 *
 * orders: "send" sends the request on each connection, "release" lifts what keeps connects in SYN_SENT, "read SECONDS" waits for the
 * answers and counts them, "count" counts connections by state. It prints
 * {"connected":N,"failed":N,"offPort":N} first.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef IP_MINTTL
#define IP_MINTTL 21
#endif
#define MAX_CONNECTIONS 32768
#define ANSWER_BYTES 4096
/* For requests that do not fit into the socket's buffer at once. */
#define SEND_LIMIT_S 10

static const char *mode = "plain", *path, *tag = "";
static struct sockaddr_in destination;
static int first_port, count = 1, refill, mute, wait_ms = 1000;
static int sockets[MAX_CONNECTIONS];
static int body_bytes;
static char *request;
static size_t request_size, sent[MAX_CONNECTIONS];

static int is(const char *word)
{
	return !strcmp(mode, word);
}

static void die(const char *what)
{
	fprintf(stderr, "connector: cannot %s: %s\n", what, strerror(errno));
	exit(70);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *sit_idle(void *nothing)
{
	pause();
	return nothing;
}

static void start_threads(int wanted)
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	while (wanted-- > 0)
		if (pthread_create(&thread, &small, sit_idle, NULL))
			die("start its threads");
}

static void bind_device(int fd, const char *device)
{
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device) + 1))
		die("bind to the device");
}

/* Lets the kernel choose at connect, from one port: the tuple is looked for then, not at bind. Kernels before 6.3 bind instead. */
static void pin_port(int fd, int family, int port)
{
	uint32_t range = (uint32_t)port | (uint32_t)port << 16;
	int on = 1;
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (!setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)))
		return;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET ? bind(fd, (void *)&any, sizeof(any)) : bind(fd, (void *)&any6, sizeof(any6)))
		die("bind its port");
}

static int connect_to(int fd, int family)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = destination.sin_port};

	if (family == AF_INET)
		return connect(fd, (void *)&destination, sizeof(destination));
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&mapped.sin6_addr.s6_addr[12], &destination.sin_addr, 4);
	return connect(fd, (void *)&mapped, sizeof(mapped));
}

/* A socket on which connect(2) has begun; -1 when it failed at once. */
static int begin(int index)
{
	int family = is("mapped") ? AF_INET6 : AF_INET, on = 1, all = 255;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(first_port + index)};

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (mute) {
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &on, sizeof(on));
	}
	if (is("reuse") || is("reuse-any")) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		own.sin_addr.s_addr = is("reuse") ? htonl(INADDR_LOOPBACK) : 0;
		if (bind(fd, (void *)&own, sizeof(own)))
			goto failed;
	} else if (first_port) {
		pin_port(fd, family, first_port + index);
	}
	if (is("device") || is("reconnect") || is("mapped") || is("half-closed") || is("closed"))
		bind_device(fd, "lo");
	if (is("syn-sent")) {
		if (first_port)
			bind_device(fd, "lo");
		/* The SYN-ACK, with its time to live of 64, is thrown away: the connect stays where it is. */
		setsockopt(fd, IPPROTO_IP, IP_MINTTL, &all, sizeof(all));
	}
	if (!connect_to(fd, family) || errno == EINPROGRESS)
		return fd;
failed:
	close(fd);
	return -1;
}

/* Sockets that did not get the port they were meant to share: a test that goes on with them tries nothing. */
static int count_off_port(void)
{
	struct sockaddr_in6 own; /* the port lies where sockaddr_in has it */
	socklen_t size;
	int i, off = 0;

	for (i = 0; first_port && i < count; i++) {
		size = sizeof(own);
		off += sockets[i] >= 0 && !getsockname(sockets[i], (void *)&own, &size) && ntohs(own.sin6_port) != first_port + i;
	}
	return off;
}

static int is_connected(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	return fd >= 0 && !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) && info.tcpi_state != TCP_SYN_SENT &&
	       info.tcpi_state != TCP_CLOSE;
}

static int is_under_way(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	return fd >= 0 && !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) && info.tcpi_state == TCP_SYN_SENT;
}

/* Until each connect has succeeded or failed; gives how many connections there are. */
static int await_connected(void)
{
	double end = now() + wait_ms / 1e3;
	int i, done, waiting;

	for (;;) {
		for (i = done = waiting = 0; i < count; i++) {
			done += is_connected(sockets[i]);
			waiting += is_under_way(sockets[i]);
		}
		if (!waiting || now() > end || is("syn-sent"))
			return done;
		usleep(5000);
	}
}

static void send_all(void)
{
	double end = now() + SEND_LIMIT_S;
	int i, waiting;

	memset(sent, 0, sizeof(sent));
	do {
		for (i = waiting = 0; path && i < count; i++) {
			ssize_t size;

			if (sockets[i] < 0 || sent[i] == request_size)
				continue;
			size = send(sockets[i], request + sent[i], request_size - sent[i], MSG_NOSIGNAL | MSG_DONTWAIT);
			if (size > 0)
				sent[i] += size;
			waiting += sent[i] < request_size && (size > 0 || errno == EAGAIN) && is_connected(sockets[i]);
		}
		if (waiting)
			usleep(2000);
	} while (waiting && now() < end);
}

static void make_request(const char *address, const char *tag)
{
	char head[2048];
	int size = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: %s\r\nMetadata: true\r\nX-Caller: %s\r\n", body_bytes ? "POST" : "GET",
			    path ? path : "/", address, tag);

	if (body_bytes)
		size += snprintf(head + size, sizeof(head) - size, "Content-Length: %d\r\n", body_bytes);
	size += snprintf(head + size, sizeof(head) - size, "\r\n");
	request_size = size + (body_bytes ? body_bytes - 1 : 0);
	request = malloc(request_size);
	memset(request, 'a', request_size);
	memcpy(request, head, size);
}

static void disconnect_and_connect(int fd, int port)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	connect(fd, &none, sizeof(none));
	pin_port(fd, AF_INET, port);
	connect_to(fd, AF_INET);
}

/* What a mode does with connections that stand. */
static void after_connect(void)
{
	int i;

	for (i = 0; i < count; i++) {
		if (sockets[i] < 0)
			continue;
		if (is("device-after"))
			bind_device(sockets[i], "lo");
		if (is("reconnect"))
			disconnect_and_connect(sockets[i], first_port + i);
	}
	if (is("reconnect"))
		await_connected();
	if (is("half-closed") || is("closed"))
		send_all();
	for (i = 0; i < count; i++) {
		if (sockets[i] < 0)
			continue;
		if (is("half-closed"))
			shutdown(sockets[i], SHUT_WR);
		if (is("closed")) {
			close(sockets[i]);
			sockets[i] = -1;
		}
	}
}

static void print_word(const char *word, int number, int *first)
{
	if (number)
		printf("%s\"%s\":%d", *first ? "" : ",", word, number), *first = 0;
}

/* One line of JSON: how many got which status; "reset", "closed" or "silent" where none came. */
static void read_all(double seconds)
{
	static char answer[MAX_CONNECTIONS][16];
	static int counts[1000];
	int i, silent = 0, reset = 0, closed = 0, unopened = 0, first = 1;
	double end = now() + seconds;

	memset(answer, 0, sizeof(answer));
	memset(counts, 0, sizeof(counts));
	for (;;) {
		int open = 0;

		for (i = 0; i < count; i++) {
			char bytes[ANSWER_BYTES];
			ssize_t size;

			if (answer[i][0])
				continue;
			if (sockets[i] < 0) {
				strcpy(answer[i], "not opened");
				continue;
			}
			size = recv(sockets[i], bytes, sizeof(bytes), MSG_DONTWAIT);
			if (size >= 12 && !memcmp(bytes, "HTTP/1.1 ", 9))
				memcpy(answer[i], bytes + 9, 3);
			else if (size == 0)
				strcpy(answer[i], "closed");
			else if (size < 0 && errno != EAGAIN && errno != ENOTCONN)
				strcpy(answer[i], "reset");
			else if (!answer[i][0])
				open++;
		}
		if (!open || now() > end)
			break;
		usleep(5000);
	}
	for (i = 0; i < count; i++) {
		if (!answer[i][0])
			silent++;
		else if (answer[i][0] == 'r')
			reset++;
		else if (answer[i][0] == 'c')
			closed++;
		else if (answer[i][0] == 'n')
			unopened++;
		else
			counts[atoi(answer[i]) % 1000]++;
	}
	printf("{");
	for (i = 0; i < 1000; i++)
		if (counts[i]) {
			printf("%s\"%d\":%d", first ? "" : ",", i, counts[i]);
			first = 0;
		}
	print_word("reset", reset, &first);
	print_word("closed", closed, &first);
	print_word("unopened", unopened, &first);
	print_word("silent", silent, &first);
	printf("}\n");
}

static void count_all(void)
{
	int i, connected = 0, pending = 0;

	for (i = 0; i < count; i++) {
		connected += is_connected(sockets[i]);
		pending += sockets[i] >= 0 && !is_connected(sockets[i]);
	}
	printf("{\"connected\":%d,\"pending\":%d}\n", connected, pending);
}

static void open_again(void)
{
	static int next;
	int looked, opened = 0;

	for (looked = 0; looked < count && opened < refill; looked++) {
		int i = next++ % count;
		char byte;
		ssize_t size = sockets[i] < 0 ? 0 : recv(sockets[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK);
		int failure = 0;
		socklen_t length = sizeof(failure);

		if (sockets[i] >= 0)
			getsockopt(sockets[i], SOL_SOCKET, SO_ERROR, &failure, &length);
		if (!failure && size < 0 && (errno == EAGAIN || errno == ENOTCONN))
			continue;
		if (sockets[i] >= 0)
			close(sockets[i]);
		sockets[i] = begin(i);
		opened++;
	}
	next %= count;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	int uid = 65534, gid = -1, threads = 0, i, failed = 0, off_port, connected;
	char line[128], address[64] = "";

	for (i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return 64;
		*value++ = 0;
		if (!strcmp(argv[i], "uid"))
			uid = atoi(value);
		else if (!strcmp(argv[i], "gid"))
			gid = atoi(value);
		else if (!strcmp(argv[i], "to"))
			snprintf(address, sizeof(address), "%s", value);
		else if (!strcmp(argv[i], "mode"))
			mode = value;
		else if (!strcmp(argv[i], "first"))
			first_port = atoi(value);
		else if (!strcmp(argv[i], "count"))
			count = atoi(value);
		else if (!strcmp(argv[i], "path"))
			path = value;
		else if (!strcmp(argv[i], "tag"))
			tag = value;
		else if (!strcmp(argv[i], "body"))
			body_bytes = atoi(value);
		else if (!strcmp(argv[i], "threads"))
			threads = atoi(value);
		else if (!strcmp(argv[i], "refill"))
			refill = atoi(value);
		else if (!strcmp(argv[i], "mute"))
			mute = atoi(value);
		else if (!strcmp(argv[i], "wait"))
			wait_ms = atoi(value);
		else
			return 64;
	}
	if (count > MAX_CONNECTIONS || !strchr(address, ':'))
		return 64;
	destination.sin_family = AF_INET;
	destination.sin_port = htons(atoi(strchr(address, ':') + 1));
	*strchr(address, ':') = 0;
	inet_pton(AF_INET, address, &destination.sin_addr);
	if (getrlimit(RLIMIT_NOFILE, &files) || (files.rlim_cur = files.rlim_max, setrlimit(RLIMIT_NOFILE, &files)))
		die("raise its limit of descriptors");
	if (setgroups(0, NULL) || setgid(gid < 0 ? uid : gid) || setuid(uid))
		die("become that user");
	start_threads(threads);
	make_request(address, tag);

	for (i = 0; i < count; i++) {
		sockets[i] = begin(i);
		failed += sockets[i] < 0;
		/* A burst larger than the accept queue would meet its limit, not the agent's. */
		if (i % 256 == 255 && !is("syn-sent"))
			usleep(20000);
	}
	await_connected();
	off_port = count_off_port();
	after_connect();
	connected = await_connected();
	printf("{\"connected\":%d,\"failed\":%d,\"offPort\":%d}\n", is("closed") ? count - failed : connected, failed, off_port);
	fflush(stdout);
	for (;;) {
		struct pollfd orders = {.fd = 0, .events = POLLIN};

		if (poll(&orders, 1, refill ? 100 : -1) == 0) {
			open_again();
			continue;
		}
		/* Unbuffered, so that poll(2) sees every order that waits. */
		for (i = 0; i < (int)sizeof(line) - 1; i++)
			if (read(0, line + i, 1) != 1)
				return 0;
			else if (line[i] == '\n')
				break;
		line[i] = 0;
		if (!strncmp(line, "read ", 5)) {
			read_all(atof(line + 5));
		} else if (!strcmp(line, "send")) {
			send_all();
			printf("{}\n");
		} else if (!strcmp(line, "count")) {
			count_all();
		} else if (!strcmp(line, "release")) {
			int none = 0;

			for (i = 0; i < count; i++)
				if (sockets[i] >= 0)
					setsockopt(sockets[i], IPPROTO_IP, IP_MINTTL, &none, sizeof(none));
			printf("{}\n");
		} else {
			return 64;
		}
		fflush(stdout);
	}
}
