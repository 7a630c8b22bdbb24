/*
 * Keeps a number of connects in flight; each connection is reset as soon as the other end says anything, and another takes its place.
 *
 * usage: flood uid=UID to=ADDRESS:PORT connections=N threads=N
 * It prints {"threads":N} when it has begun; the order "count" tells {"connects":N} so far.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

static void *sit_idle(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct rlimit files;
	struct linger reset = {1, 0};
	struct epoll_event events[EVENTS], order = {.events = EPOLLIN, .data.fd = 0};
	pthread_attr_t small;
	pthread_t thread;
	char *colon, line[16];
	int uid = 65534, wanted = 0, threads = 0, made = 0, open = 0, i, ep = epoll_create1(0);
	long connects = 0;

	for (i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return 64;
		*value++ = 0;
		if (!strcmp(argv[i], "uid"))
			uid = atoi(value);
		else if (!strcmp(argv[i], "connections"))
			wanted = atoi(value);
		else if (!strcmp(argv[i], "threads"))
			threads = atoi(value);
		else if (!strcmp(argv[i], "to") && (colon = strchr(value, ':'))) {
			*colon = 0;
			inet_pton(AF_INET, value, &to.sin_addr);
			to.sin_port = htons(atoi(colon + 1));
		} else
			return 64;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (setgroups(0, NULL) || setgid(uid) || setuid(uid))
		return 70;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	while (made < threads && !pthread_create(&thread, &small, sit_idle, NULL))
		made++;
	printf("{\"threads\":%d}\n", made);
	fflush(stdout);
	epoll_ctl(ep, EPOLL_CTL_ADD, 0, &order);
	for (;;) {
		int ready;

		while (open < wanted) {
			struct epoll_event event = {.events = EPOLLIN};
			int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

			if (fd < 0)
				break;
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
			if (connect(fd, (void *)&to, sizeof(to)) && errno != EINPROGRESS) {
				close(fd);
				break;
			}
			event.data.fd = fd;
			epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
			open++;
			connects++;
		}
		ready = epoll_wait(ep, events, EVENTS, 20);
		for (i = 0; i < ready; i++) {
			if (events[i].data.fd) {
				close(events[i].data.fd);
				open--;
				continue;
			}
			if (read(0, line, sizeof(line)) <= 0)
				return 0;
			printf("{\"connects\":%ld}\n", connects);
			fflush(stdout);
		}
	}
}
