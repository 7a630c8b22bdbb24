/*
 * One process of the seam's fuzzer: opens connections to guarded endpoints and to the listener in every way that a user without
 * privileges can, over and over, and counts what it is answered. Which way is a matter of its seed alone; when is the machine's.
 *
 * usage: seam-client KEY=VALUE...
 *   uid, seed    who it becomes; what it chooses
 *   me, others   its number; how many there are. Requests name both who asks (from=) and whose data is wanted (seam=)
 *   secret       value of X-Seam-Secret, which nobody else knows
 *   slots        connections at a time
 *   hot          first of the source ports that all processes fight for
 *
 * It prints {} once it runs. The order "stall" says that the agent stops now, which any process could find out: half of what begins
 * in the next moments are then connections that lie in wait on the hot ports, and later some that others could take for theirs. The
 * order "stop" ends it: no new connection, then {"KIND.WANT.OUTCOME":N,...} when the open ones are done. The process stays until its
 * standard input ends, because what it has sent may be decided later, and who has exited cannot be asked about.
 * KIND: plain (no options, as ordinary programs connect) or odd. WANT: own (must be served), other (must be refused), direct (no
 * redirect, must be refused). OUTCOME: a status, or reset, closed, silent, failed (connect), left (not waited for).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef IP_MINTTL
#define IP_MINTTL 21
#endif
#ifndef TCP_FASTOPEN_CONNECT
#define TCP_FASTOPEN_CONNECT 30
#endif
#define MAX_SLOTS 64
#define HOT_PORTS 10
/* Behind them, ports for the time of a stall; each stall takes the next lot, so that nobody still has them from before. */
#define STALL_PORTS 16
#define STALL_LOTS 16
/* How long after a stall began connections lie in wait; their keep-alive probes, one a second, then mute them all at the same time. */
#define AMBUSH_S 0.15
/* Longer than any stall and restart together. */
#define ANSWER_LIMIT_S 30.0
#define DRAIN_LIMIT_S 35.0
/* After the end an odd connection is not waited for any longer than this. */
#define ODD_DRAIN_LIMIT_S 6.0

enum kind { PLAIN, ODD, KINDS };
enum want { OWN, OTHER, DIRECT, WANTS };
enum outcome { S200, S400, S403, S408, S421, S503, OTHER_STATUS, RESET, CLOSED, SILENT, FAILED, LEFT, OUTCOMES };
static const char *const kind_names[] = {"plain", "odd"}, *const want_names[] = {"own", "other", "direct"},
			*const outcome_names[] = {"200", "400", "403", "408", "421", "503", "status", "reset", "closed", "silent", "failed", "left"};

enum ending { READ, HALF_CLOSE, CLOSE_AT_ONCE, RESET_AT_ONCE, RECONNECT };
enum state { PAUSED, CONNECTING, SENDING, READING };

struct slot {
	enum state state;
	int fd, family;
	enum kind kind;
	enum want want;
	enum ending ending;
	int device_after, release, again, lies_in_wait;
	double at, split_at, began, until; /* until: when it gives up, 0 for as long as it may take */
	char request[512];
	size_t size, sent, split;
	char answer[4096];
	size_t got;
	struct sockaddr_in to;
};

static struct slot slots[MAX_SLOTS];
static long counts[KINDS][WANTS][OUTCOMES];
static uint64_t random_state;
static int me, others, wanted_slots = 12, hot, uid, last_port;
static long number, stalls;
static double stopped, stalled; /* when the orders came */
static const char *secret = "";

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* xorshift64*: the choices of a seed are the same everywhere. */
static uint32_t below(uint32_t limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 2685821657736338717ULL) >> 33) % limit;
}

static int one_in(uint32_t times)
{
	return below(times) == 0;
}

static void pause_slot(struct slot *slot)
{
	if (slot->fd >= 0)
		close(slot->fd);
	slot->fd = -1;
	slot->state = PAUSED;
	slot->at = now() + below(300) / 1e3;
}

static void end_with(struct slot *slot, enum outcome outcome)
{
	counts[slot->kind][slot->want][outcome]++;
	/* Mostly without TIME_WAIT, which would keep the hot ports from everybody. */
	if (slot->fd >= 0 && (slot->kind == ODD ? !one_in(4) : one_in(4))) {
		struct linger reset = {1, 0};

		setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	pause_slot(slot);
}

static void make_request(struct slot *slot)
{
	int other = (me + 1 + (int)below(others - 1)) % others;
	int wireserver = slot->to.sin_addr.s_addr == inet_addr("168.63.129.16");
	char target[128];

	if (slot->want != DIRECT)
		slot->want = wireserver ? (uid == 0 ? OWN : OTHER) : one_in(slot->lies_in_wait ? 2 : 4) ? OTHER : OWN;
	/* What root's processes may read is what most would like to. */
	if (slot->lies_in_wait && me > 1)
		other = below(2);
	if (wireserver)
		snprintf(target, sizeof(target), "/?comp=versions&from=%d&n=%ld", me, ++number);
	else
		snprintf(target, sizeof(target), "/metadata/instance?api-version=2021-02-01&seam=%d&from=%d&n=%ld", slot->want == OTHER ? other : me, me,
			 ++number);
	slot->size = snprintf(slot->request, sizeof(slot->request),
			      "GET %s HTTP/1.1\r\nHost: %s\r\nMetadata: true\r\nX-Seam-Secret: %s\r\n\r\n", target,
			      wireserver ? "168.63.129.16" : "169.254.169.254", secret);
	slot->sent = slot->got = 0;
	slot->split = slot->size;
	slot->split_at = 0;
	if (slot->kind == ODD && one_in(3)) {
		slot->split = below(slot->size);
		slot->split_at = now() + below(1500) / 1e3;
	}
}

static int connect_slot(struct slot *slot)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = slot->to.sin_port};

	if (slot->family == AF_INET)
		return connect(slot->fd, (void *)&slot->to, sizeof(slot->to));
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&mapped.sin6_addr.s6_addr[12], &slot->to.sin_addr, 4);
	return connect(slot->fd, (void *)&mapped, sizeof(mapped));
}

/* A port that all fight for, or one that the kernel will soon give to somebody: it goes upwards in steps of two. */
static int choose_port(void)
{
	return last_port && one_in(3) ? last_port + 2 * (1 + (int)below(40)) : hot + (int)below(HOT_PORTS);
}

static void choose_source(struct slot *slot)
{
	int on = 1, port = choose_port();
	uint32_t range = (uint32_t)port | (uint32_t)port << 16;
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};

	switch (below(5)) {
	case 0:
		return;
	case 1:
		if (one_in(2))
			setsockopt(slot->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (one_in(2))
			setsockopt(slot->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		/* Any loopback address is anybody's. */
		own.sin_addr.s_addr = one_in(3) ? 0 : one_in(2) ? htonl(INADDR_LOOPBACK) : htonl(0x7f000000 | below(1 << 24));
		if (one_in(3))
			own.sin_port = 0;
		if (slot->family == AF_INET)
			bind(slot->fd, (void *)&own, sizeof(own));
		return;
	default:
		setsockopt(slot->fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range));
	}
}

static void keep_alive(int fd)
{
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &on, sizeof(on));
}

/* True when the slot is used for the time of a stall: first those that lie in wait, then, while they are mute, who meets them. */
static int choose_for_stall(struct slot *slot)
{
	double since = now() - stalled, phase = since - (long)since;
	int waits = since < AMBUSH_S;
	int port = hot + HOT_PORTS + STALL_PORTS * (stalls % STALL_LOTS) + (int)below(STALL_PORTS);
	uint32_t range = (uint32_t)port | (uint32_t)port << 16;

	/* Root has nothing to gain by lying in wait, and most to lose. */
	if (!stalled || since > 3 || (waits ? !uid || one_in(3) : uid && !one_in(6)) || !(waits || (since > 1 && phase > AMBUSH_S && phase < 0.5)))
		return 0;
	setsockopt(slot->fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range));
	slot->lies_in_wait = waits;
	if (waits) {
		keep_alive(slot->fd);
		if (one_in(4))
			slot->device_after = 1;
		else
			setsockopt(slot->fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
		slot->ending = one_in(4) ? HALF_CLOSE : one_in(4) ? RECONNECT : READ;
	}
	return 1;
}

static void begin(struct slot *slot)
{
	int on = 1, all = 255, choice = below(20);

	memset(slot, 0, sizeof(*slot));
	/* Half of the slots are never held by a connect that waits as long as it takes. */
	slot->kind = (slot - slots) % 2 && !one_in(3) ? PLAIN : ODD;
	slot->family = slot->kind == ODD && one_in(5) ? AF_INET6 : AF_INET;
	slot->fd = socket(slot->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (slot->fd < 0)
		exit(70);
	slot->to.sin_family = AF_INET;
	slot->to.sin_port = htons(80);
	slot->to.sin_addr.s_addr = inet_addr(choice < 3 ? "168.63.129.16" : "169.254.169.254");
	slot->want = OWN;
	if (slot->kind == ODD) {
		if (choice == 19) {
			slot->want = DIRECT;
			slot->to.sin_port = htons(3080);
			slot->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		}
	}
	if (slot->kind == ODD && !choose_for_stall(slot)) {
		choose_source(slot);
		if (one_in(2))
			setsockopt(slot->fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
		else
			slot->device_after = one_in(3);
		if (one_in(2))
			keep_alive(slot->fd);
		if (one_in(10)) {
			setsockopt(slot->fd, IPPROTO_IP, IP_MINTTL, &all, sizeof(all));
			slot->release = 1;
			slot->at = now() + below(2500) / 1e3;
		} else if (one_in(20)) {
			setsockopt(slot->fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on));
		}
		slot->ending = one_in(2) ? READ : 1 + below(4);
		/* Those that give up make room for others while the agent is stopped. */
		slot->until = one_in(3) ? 0 : now() + (200 + below(3500)) / 1e3;
	}
	setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	slot->again = one_in(3);
	slot->began = now();
	make_request(slot);
	if (connect_slot(slot) && errno != EINPROGRESS) {
		end_with(slot, FAILED);
		return;
	}
	slot->state = CONNECTING;
}

static void connected(struct slot *slot)
{
	struct sockaddr_in6 own; /* the port lies where sockaddr_in has it */
	socklen_t size = sizeof(own);

	if (slot->kind == PLAIN && !getsockname(slot->fd, (void *)&own, &size))
		last_port = ntohs(own.sin6_port);
	if (slot->device_after)
		setsockopt(slot->fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	slot->state = SENDING;
}

static enum outcome outcome_of(const char *answer)
{
	static const char *const known[] = {"200", "400", "403", "408", "421", "503"};
	int i;

	for (i = 0; i < 6; i++)
		if (!memcmp(answer + 9, known[i], 3))
			return (enum outcome)i;
	return OTHER_STATUS;
}

static void sent_all(struct slot *slot)
{
	struct linger reset = {1, 0};
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	slot->state = READING;
	switch (slot->ending) {
	case READ:
		return;
	case HALF_CLOSE:
		shutdown(slot->fd, SHUT_WR);
		slot->again = 0;
		return;
	case RESET_AT_ONCE:
		setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		/* fall through */
	case CLOSE_AT_ONCE:
		counts[slot->kind][slot->want][LEFT]++;
		pause_slot(slot);
		return;
	case RECONNECT:
		slot->ending = READ;
		counts[slot->kind][slot->want][LEFT]++;
		connect(slot->fd, &none, sizeof(none));
		make_request(slot);
		if (connect_slot(slot) && errno != EINPROGRESS)
			end_with(slot, FAILED);
		else
			slot->state = CONNECTING;
	}
}

/* The whole answer: head, and the body that its Content-Length or its end of chunks tells. */
static int is_whole(struct slot *slot)
{
	char *end, *length;

	slot->answer[slot->got] = 0;
	end = strstr(slot->answer, "\r\n\r\n");
	if (!end)
		return 0;
	length = strcasestr(slot->answer, "\r\ncontent-length:");
	if (!length || length > end)
		return 1;
	return slot->got >= (size_t)(end + 4 - slot->answer) + atoi(length + 17) || slot->got == sizeof(slot->answer) - 1;
}

static void read_answer(struct slot *slot)
{
	ssize_t size = recv(slot->fd, slot->answer + slot->got, sizeof(slot->answer) - 1 - slot->got, 0);
	enum outcome outcome;

	if (size < 0 && errno == EAGAIN)
		return;
	if (size <= 0) {
		end_with(slot, slot->got >= 12 ? outcome_of(slot->answer) : size == 0 ? CLOSED : RESET);
		return;
	}
	slot->got += size;
	if (!is_whole(slot))
		return;
	outcome = outcome_of(slot->answer);
	if (outcome == S200 && slot->again && slot->got < sizeof(slot->answer) - 1 && strcasestr(slot->answer, "\r\ncontent-length:")) {
		/* Once more on this connection. A restart may close it meanwhile, so what follows proves nothing about plain connects. */
		counts[slot->kind][slot->want][outcome]++;
		slot->kind = ODD;
		slot->again = 0;
		make_request(slot);
		slot->state = SENDING;
		return;
	}
	end_with(slot, outcome);
}

static void advance(struct slot *slot, short ready)
{
	int failure = 0, none = 0;
	socklen_t length = sizeof(failure);
	double t = now();

	if (slot->release && t > slot->at) {
		slot->release = 0;
		/* Half of them are let go, the others end where they are. */
		if (one_in(2)) {
			setsockopt(slot->fd, IPPROTO_IP, IP_MINTTL, &none, sizeof(none));
		} else {
			counts[slot->kind][slot->want][LEFT]++;
			pause_slot(slot);
			return;
		}
	}
	if ((slot->until && t > slot->until) || (stopped && slot->kind == ODD && t - stopped > ODD_DRAIN_LIMIT_S)) {
		end_with(slot, LEFT);
		return;
	}
	if (t - slot->began > ANSWER_LIMIT_S) {
		end_with(slot, SILENT);
		return;
	}
	if (slot->state == CONNECTING && ready) {
		getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &failure, &length);
		if (failure || (ready & (POLLERR | POLLNVAL))) {
			end_with(slot, FAILED);
			return;
		}
		if (ready & POLLOUT)
			connected(slot);
	}
	if (slot->state == SENDING) {
		size_t until = t >= slot->split_at ? slot->size : slot->split;

		if (slot->sent < until) {
			ssize_t size = send(slot->fd, slot->request + slot->sent, until - slot->sent, MSG_NOSIGNAL);

			if (size < 0 && errno != EAGAIN && errno != EINPROGRESS) {
				end_with(slot, RESET);
				return;
			}
			if (size > 0)
				slot->sent += size;
		}
		if (slot->sent == slot->size) {
			slot->began = t;
			sent_all(slot);
			return;
		}
	}
	if (slot->state == READING && ready)
		read_answer(slot);
}

static void report(void)
{
	int k, w, o, first = 1;

	printf("{");
	for (k = 0; k < KINDS; k++)
		for (w = 0; w < WANTS; w++)
			for (o = 0; o < OUTCOMES; o++)
				if (counts[k][w][o]) {
					printf("%s\"%s.%s.%s\":%ld", first ? "" : ",", kind_names[k], want_names[w], outcome_names[o], counts[k][w][o]);
					first = 0;
				}
	printf("}\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct pollfd fds[MAX_SLOTS + 1];
	char order[16];
	int i;

	for (i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return 64;
		*value++ = 0;
		if (!strcmp(argv[i], "uid"))
			uid = atoi(value);
		else if (!strcmp(argv[i], "seed"))
			random_state = strtoull(value, NULL, 10) * 0x9e3779b97f4a7c15ULL + 1;
		else if (!strcmp(argv[i], "me"))
			me = atoi(value);
		else if (!strcmp(argv[i], "others"))
			others = atoi(value);
		else if (!strcmp(argv[i], "secret"))
			secret = value;
		else if (!strcmp(argv[i], "slots"))
			wanted_slots = atoi(value);
		else if (!strcmp(argv[i], "hot"))
			hot = atoi(value);
		else
			return 64;
	}
	if (wanted_slots > MAX_SLOTS || others < 2 || setgroups(0, NULL) || setgid(uid) || setuid(uid))
		return 70;
	for (i = 0; i < wanted_slots; i++) {
		slots[i].fd = -1;
		slots[i].at = now() + below(500) / 1e3;
	}
	printf("{}\n");
	fflush(stdout);
	for (;;) {
		int open = 0;

		for (i = 0; i < wanted_slots; i++) {
			if (slots[i].state == PAUSED && !stopped && now() > slots[i].at)
				begin(&slots[i]);
			open += slots[i].state != PAUSED;
			fds[i].fd = slots[i].state == PAUSED ? -1 : slots[i].fd;
			fds[i].events = slots[i].state == CONNECTING ? POLLOUT : slots[i].state == READING ? POLLIN : 0;
			fds[i].revents = 0;
		}
		if (stopped && (!open || now() - stopped > DRAIN_LIMIT_S)) {
			report();
			for (i = 0; i < wanted_slots; i++)
				if (slots[i].fd >= 0)
					close(slots[i].fd);
			while (read(0, order, sizeof(order)) > 0)
				;
			return 0;
		}
		fds[wanted_slots].fd = stopped ? -1 : 0;
		fds[wanted_slots].events = POLLIN;
		fds[wanted_slots].revents = 0;
		poll(fds, wanted_slots + 1, 10);
		if (fds[wanted_slots].revents) {
			ssize_t size = read(0, order, sizeof(order) - 1);

			if (size <= 0)
				return 0;
			order[size] = 0;
			/* Two orders may come in one piece; the last one counts. */
			if (strstr(order, "stop")) {
				stopped = now();
			} else {
				stalled = now();
				stalls++;
				printf("{}\n");
				fflush(stdout);
			}
		}
		for (i = 0; i < wanted_slots; i++)
			if (slots[i].state != PAUSED && fds[i].fd == slots[i].fd)
				advance(&slots[i], fds[i].revents);
	}
}
