// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pings, which QEMU's user network answers itself, without a socket of the host. What comes back must be what was sent; one
 * without an answer is wrong: nobody loses it but who loses an interrupt.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "load.h"

#define SIZE 1024
#define HEADER 8		/* of a ping */
#define PAUSE_MS 100
#define LIMIT_S 30
#define GUEST "10.0.2.15"	/* of QEMU's user network */
#define HOST "10.0.2.2"

static int sock;

static struct sockaddr_in address_of(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};

	inet_pton(AF_INET, text, &address.sin_addr);
	return address;
}

static void set(struct ifreq *ifr, unsigned long request, const char *text)
{
	struct sockaddr_in address = address_of(text);

	memcpy(&ifr->ifr_addr, &address, sizeof(address));
	if (ioctl(sock, request, ifr))
		fail("eth0");
}

static void bring_up(void)
{
	struct ifreq ifr = {.ifr_name = "eth0"};

	set(&ifr, SIOCSIFADDR, GUEST);
	set(&ifr, SIOCSIFNETMASK, "255.255.255.0");
	if (ioctl(sock, SIOCGIFFLAGS, &ifr))
		fail("eth0");
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(sock, SIOCSIFFLAGS, &ifr))
		fail("eth0");
}

/* An older one, that was taken for lost, may come before it. */
static void check_answer(const uint64_t *sent)
{
	uint64_t got[(HEADER + SIZE) / 8];
	ssize_t len;

	do {
		len = recv(sock, got, sizeof(got), 0);
		if (len < 0) {
			wrong(NET, "no answer to ping %lu", sent[1]);
			return;
		}
	} while (len == sizeof(got) && got[1] < sent[1]);
	if (len == sizeof(got) && !memcmp(sent + 1, got + 1, SIZE))
		right(NET, 0);
	else
		wrong(NET, "what came back is not ping %lu", sent[1]);
}

static void *work(void *arg)
{
	struct icmphdr ping = {.type = ICMP_ECHO};
	uint64_t data[(HEADER + SIZE) / 8], n;

	for (n = 1; !atomic_load(&stopping); n++) {
		fill(data, sizeof(data), n);
		ping.un.echo.sequence = htons(n);
		memcpy(data, &ping, HEADER);
		data[1] = n;
		if (send(sock, data, sizeof(data), 0) < 0)
			wrong(NET, "send: %s", strerror(errno));
		else
			check_answer(data);
		sleep_ms(PAUSE_MS);
	}
	return NULL;
}

/* The kernel gives these to groups that are named. */
static void allow_pings(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ping_group_range", "w");

	if (!file || fputs("0 0", file) < 0 || fclose(file))
		fail("ping_group_range");
}

void net_start(void)
{
	struct timeval limit = {.tv_sec = LIMIT_S};
	struct sockaddr_in host = address_of(HOST);

	allow_pings();
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (sock < 0)
		fail("socket");
	bring_up();
	if (connect(sock, (struct sockaddr *)&host, sizeof(host)) ||
	    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		fail("connect");
	start_thread(work, 0);
}
