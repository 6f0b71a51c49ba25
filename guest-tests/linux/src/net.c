/* SPDX-License-Identifier: Apache-2.0
 *
 * The network program: a TCP server with two ports. kEchoPort gives back what it gets. kSourcePort sends the
 * 64-bit little-endian numbers 0, 1, 2, ... until the peer closes. The peer judges the content; here bytes
 * are counted.
 */
#include "gt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kClients = 16, kChunk = 16384 };

static bool interface_up(int fd, const char* name, const char* address, unsigned prefix) {
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    struct sockaddr_in in = {.sin_family = AF_INET};
    if (address) {
        if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
            return false;
        memcpy(&request.ifr_addr, &in, sizeof in);
        if (ioctl(fd, SIOCSIFADDR, &request) != 0)
            return false;
        in.sin_addr.s_addr = prefix ? htonl(~0u << (32 - prefix)) : 0;
        memcpy(&request.ifr_netmask, &in, sizeof in);
        if (ioctl(fd, SIOCSIFNETMASK, &request) != 0)
            return false;
    }
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

bool set_up_network(void) {
    char address[32];
    snprintf(address, sizeof address, "%s", options.ip);
    char* slash = strchr(address, '/');
    const unsigned prefix = slash ? (unsigned)atoi(slash + 1) : 24;
    if (slash)
        *slash = '\0';
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    interface_up(fd, "lo", "127.0.0.1", 8);
    const bool up = prefix <= 32 && interface_up(fd, "eth0", address, prefix);
    const int error = errno;
    close(fd);
    if (up)
        report("net ip=%s", options.ip);
    else
        report("no network errno=%d", error);
    return up;
}

/* One client: for echo, what was received and is not yet sent; for the source, the position in the numbers.
 */
struct client {
    int fd;
    bool source;
    unsigned from, to;
    uint64_t position;
    unsigned char data[kChunk];
};

static struct client clients[kClients];

static int listen_on(unsigned port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (const struct sockaddr*)&any, sizeof any) != 0 || listen(fd, 8) != 0) {
        counters->tcp.errors++;
        report("fail what=listen port=%u errno=%d", port, errno);
    }
    return fd;
}

static void accept_on(int listener, bool source) {
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    for (unsigned i = 0; i < kClients; i++)
        if (clients[i].fd < 0) {
            clients[i].fd = fd;
            clients[i].source = source;
            clients[i].from = clients[i].to = 0;
            clients[i].position = 0;
            counters->tcp.connections++;
            const int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return;
        }
    close(fd);
}

static void close_client(struct client* c) {
    close(c->fd);
    c->fd = -1;
}

static void refill_source(struct client* c) {
    for (unsigned i = 0; i < kChunk; i += 8) {
        memcpy(c->data + i, &c->position, 8);
        c->position++;
    }
    c->from = 0;
    c->to = kChunk;
}

static void serve(struct client* c, short events) {
    if (events & POLLIN) {
        unsigned char thrown_away[256];
        void* to = c->source ? thrown_away : c->data;
        const ssize_t n = read(c->fd, to, c->source ? sizeof thrown_away : kChunk);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            close_client(c);
            return;
        }
        if (n > 0) {
            counters->tcp.received += (uint64_t)n;
            if (!c->source) {
                c->from = 0;
                c->to = (unsigned)n;
            }
        }
    }
    if (c->source && c->from == c->to)
        refill_source(c);
    if (c->from < c->to) {
        const ssize_t n = send(c->fd, c->data + c->from, c->to - c->from, MSG_NOSIGNAL);
        if (n > 0) {
            c->from += (unsigned)n;
            counters->tcp.sent += (uint64_t)n;
        } else if (n < 0 && errno != EAGAIN) {
            close_client(c);
            return;
        }
    }
    if (events & (POLLERR | POLLNVAL))
        close_client(c);
}

int run_tcp(void) {
    for (unsigned i = 0; i < kClients; i++)
        clients[i].fd = -1;
    const int echo = listen_on(kEchoPort), source = listen_on(kSourcePort);
    if (counters->tcp.errors)
        return 1;
    counters->tcp.ready = true;
    report("tcp ready echo=%d source=%d", kEchoPort, kSourcePort);
    while (!counters->stop) {
        struct pollfd polled[kClients + 2];
        for (unsigned i = 0; i < kClients; i++) {
            const struct client* c = &clients[i]; /* an echo reads again only when all was sent */
            const bool sending = c->source || c->from < c->to;
            polled[i] = (struct pollfd){.fd = c->fd, .events = sending ? POLLOUT : POLLIN};
            if (c->source)
                polled[i].events |= POLLIN;
        }
        polled[kClients] = (struct pollfd){.fd = echo, .events = POLLIN};
        polled[kClients + 1] = (struct pollfd){.fd = source, .events = POLLIN};
        if (poll(polled, kClients + 2, 500) <= 0)
            continue;
        for (unsigned i = 0; i < kClients; i++)
            if (polled[i].revents)
                serve(&clients[i], polled[i].revents);
        if (polled[kClients].revents)
            accept_on(echo, false);
        if (polled[kClients + 1].revents)
            accept_on(source, true);
    }
    return counters->tcp.errors != 0;
}
