#define _GNU_SOURCE
#include "CTimestamps.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/sockios.h>
#include <netinet/udp.h>
#endif

static void set_buffers(int descriptor, int bytes) {
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
#ifdef SO_RCVBUFFORCE
    // Beyond the system's limit, for those who may: a packet train must fit while this process waits for a processor.
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
#endif
}

// The socket address of a port; its length.
static socklen_t make_name(struct sockaddr_storage *name, const uint8_t *address, size_t address_bytes, uint16_t port) {
    memset(name, 0, sizeof *name);
    if (address_bytes == 4) {
        struct sockaddr_in *four = (struct sockaddr_in *)name;
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        memcpy(&four->sin_addr, address, 4);
        return sizeof *four;
    }
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)name;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    memcpy(&six->sin6_addr, address, 16);
    return sizeof *six;
}

int weft_datagram_open(const uint8_t *address, size_t address_bytes, uint16_t port, int buffer_bytes) {
    int descriptor = socket(address_bytes == 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    if (descriptor < 0) return -errno;
    struct sockaddr_storage name;
    socklen_t length = make_name(&name, address, address_bytes, port);
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0
        || bind(descriptor, (struct sockaddr *)&name, length) < 0) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    set_buffers(descriptor, buffer_bytes);
    weft_datagram_arrival(descriptor);
    return descriptor;
}

long weft_datagram_receive(int descriptor, void *buffer, size_t capacity, weft_source *source) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    ssize_t count;
    do {
        count = recvfrom(descriptor, buffer, capacity, 0, (struct sockaddr *)&name, &length);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return -1;
    if (name.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&name;
        source->high = 0;
        source->low = 0xFFFF00000000 | ntohl(four->sin_addr.s_addr);
        source->port = ntohs(four->sin_port);
    } else {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&name;
        source->high = source->low = 0;
        for (int index = 0; index < 8; index++) {
            source->high = source->high << 8 | six->sin6_addr.s6_addr[index];
            source->low = source->low << 8 | six->sin6_addr.s6_addr[8 + index];
        }
        source->port = ntohs(six->sin6_port);
    }
    return (long)count;
}

int64_t weft_datagram_arrival(int descriptor) {
#if defined(__linux__) && __LP64__
    // The kernel keeps the stamp of the last datagram that was read. A control message would say the same, but whoever
    // reads the socket for us drops those.
    struct timespec stamp;
    if (ioctl(descriptor, SIOCGSTAMPNS, &stamp) == 0) return stamp.tv_sec * 1000000000LL + stamp.tv_nsec;
#else
    (void)descriptor;
#endif
    return 0;
}

int weft_datagram_send(
    int descriptor, const void *bytes, size_t count, uint16_t segment_bytes, const uint8_t *address, size_t address_bytes,
    uint16_t port) {
#if defined(__linux__) && defined(UDP_SEGMENT)
    struct sockaddr_storage name;
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof segment_bytes)];
    } control = {0};
    control.header.cmsg_level = SOL_UDP;
    control.header.cmsg_type = UDP_SEGMENT;
    control.header.cmsg_len = CMSG_LEN(sizeof segment_bytes);
    memcpy(CMSG_DATA(&control.header), &segment_bytes, sizeof segment_bytes);
    struct msghdr message = {
        .msg_name = &name, .msg_namelen = make_name(&name, address, address_bytes, port), .msg_iov = &part, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof control.space};
    ssize_t sent;
    do {
        sent = sendmsg(descriptor, &message, 0);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
#else
    (void)descriptor, (void)bytes, (void)count, (void)segment_bytes, (void)address, (void)address_bytes, (void)port;
    return -ENOSYS;
#endif
}

static int64_t read_clock(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int64_t weft_clock_offset(void) {
    int64_t best = INT64_MAX, offset = 0;
    // A pause between two readings falsifies the offset, so the tightest of a few counts.
    for (int attempt = 0; attempt < 4; attempt++) {
        int64_t before = read_clock(CLOCK_MONOTONIC), real = read_clock(CLOCK_REALTIME);
        int64_t width = read_clock(CLOCK_MONOTONIC) - before;
        if (width < best) {
            best = width;
            offset = before + width / 2 - real;
        }
        if (width < 1000) break;
    }
    return offset;
}
