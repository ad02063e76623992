// The router of netlab: gives every pair of peers its rate, delay, jitter, loss and order, with the accuracy that
// measuring tools need. One thread, one process, one TUN device for each port (a peer, or a NAT with peers behind it).
//
// A packet passes: uplink of its port (FIFO, with a token bucket if there is one) -> the pair's own rate -> loss, delay,
// jitter -> downlink of the other port -> TUN. Each serialiser is a virtual clock: it knows when it is free, so the time
// at which a packet leaves does not depend on when this process got the processor, and lateness does not add up.
// Packets wait in one heap, ordered by time and then by arrival. Rates count IP bytes.
//
// Reads its plan on standard input (see `read_plan`), makes the TUN devices in its own network namespace, prints
// "ready", and routes until it is told to end. SIGUSR1 begins new statistics; SIGTERM prints them and ends.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stddef.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_PORTS = 512,
    SLOT_BYTES = 1536,
    READS_A_TURN = 16,        // from one port before others have their turn
    SPIN_NS = 60000,          // sleeping shorter than this wakes too late
    LATENESS_BUCKETS = 4096,  // of a microsecond each
};

typedef struct {
    double ns_per_byte;
    int64_t bucket_ns;    // depth of the token bucket as time at the sustained rate; 0 without one
    double line_ns_per_byte;  // rate at which the bucket's tokens are spent
    int64_t queue_ns;     // a packet that would wait longer is dropped
    int64_t free_at;      // virtual clock of the sustained rate
    int64_t line_free_at;
} Serialiser;

typedef struct {
    Serialiser rate;
    int64_t delay_ns, jitter_ns, reorder_ns;
    double loss, reorder;
    int64_t last_arrival;
} Path;

typedef struct {
    char name[IFNAMSIZ];
    uint32_t address;  // network order
    int fd;
    Serialiser up, down;
    uint64_t sent, received, sent_bytes, received_bytes, lost, dropped_up, dropped_path, dropped_down;
} Port;

typedef struct {
    int64_t at;
    uint64_t sequence;
    int32_t slot;
    int16_t port;
    int16_t is_leaving;  // whether the packet has passed its downlink
} Event;

static Port ports[MAX_PORTS];
static int port_count;
static Path *paths;  // [from * port_count + to]
static uint8_t *slots;
static uint16_t *slot_bytes;
static int32_t *free_slots;
static int32_t free_count, slot_count = 32768;
static Event *heap;
static int heap_count;
static uint64_t next_sequence, no_slot, no_route;
static uint64_t random_state[2];
static uint32_t lateness[LATENESS_BUCKETS + 1];
static uint64_t delivered;
static volatile sig_atomic_t is_ending, is_restarting;

static void fail(const char *what) {
    fprintf(stderr, "netlab router: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// xorshift128+ (Vigna 2017): the seed chooses losses, jitter and order.
static double unit(void) {
    uint64_t x = random_state[0], y = random_state[1];
    random_state[0] = y;
    x ^= x << 23;
    random_state[1] = x ^ y ^ (x >> 18) ^ (y >> 5);
    return (double)((random_state[1] + y) >> 11) * 0x1p-53;
}

static int is_before(const Event *a, const Event *b) {
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void push(int64_t at, int32_t slot, int port, int is_leaving) {
    Event event = {at, next_sequence++, slot, (int16_t)port, (int16_t)is_leaving};
    int hole = heap_count++;
    while (hole > 0 && is_before(&event, &heap[(hole - 1) / 2])) {
        heap[hole] = heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    heap[hole] = event;
}

static Event pop(void) {
    Event top = heap[0], last = heap[--heap_count];
    int hole = 0;
    for (;;) {
        int child = 2 * hole + 1;
        if (child >= heap_count) break;
        if (child + 1 < heap_count && is_before(&heap[child + 1], &heap[child])) child++;
        if (!is_before(&heap[child], &last)) break;
        heap[hole] = heap[child];
        hole = child;
    }
    heap[hole] = last;
    return top;
}

// When `bytes` that arrive at `at` are through; -1 if they would wait too long. With a token bucket this is the generic
// cell rate algorithm (ITU-T I.371) with the line's own rate before it.
static int64_t pass(Serialiser *s, int bytes, int64_t at) {
    int64_t begin = s->free_at > at ? s->free_at : at;
    if (begin - at > s->queue_ns + s->bucket_ns) return -1;
    int64_t conforming = begin + (int64_t)(bytes * s->ns_per_byte + 0.5);
    int64_t through = conforming;
    if (s->bucket_ns > 0) {
        through = conforming - s->bucket_ns;
        int64_t line = (s->line_free_at > at ? s->line_free_at : at) + (int64_t)(bytes * s->line_ns_per_byte + 0.5);
        if (line > through) through = line;
        s->line_free_at = through;
    }
    s->free_at = conforming;
    return through;
}

static int port_of(uint32_t address) {
    // Addresses are 198.18.0.1 + port, so that no table is needed.
    int64_t index = (int64_t)ntohl(address) - (int64_t)ntohl(ports[0].address);
    return index >= 0 && index < port_count && ports[index].address == address ? (int)index : -1;
}

static void accept_packet(int from, int32_t slot, int bytes, int64_t now) {
    Port *port = &ports[from];
    uint32_t destination;
    memcpy(&destination, slots + (size_t)slot * SLOT_BYTES + 16, 4);
    port->sent++;
    port->sent_bytes += bytes;
    int to = bytes >= 20 && (slots[(size_t)slot * SLOT_BYTES] >> 4) == 4 ? port_of(destination) : -1;
    if (to < 0 || to == from) {
        no_route++;
        goto drop;
    }
    int64_t at = pass(&port->up, bytes, now);
    if (at < 0) {
        port->dropped_up++;
        goto drop;
    }
    Path *path = &paths[from * port_count + to];
    at = pass(&path->rate, bytes, at);
    if (at < 0) {
        port->dropped_path++;
        goto drop;
    }
    if (path->loss > 0 && unit() < path->loss) {
        port->lost++;
        goto drop;
    }
    at += path->delay_ns;
    if (path->jitter_ns > 0) at += (int64_t)(unit() * path->jitter_ns);
    if (path->reorder > 0 && unit() < path->reorder) {
        at += path->reorder_ns;  // others overtake it
    } else {
        if (at < path->last_arrival) at = path->last_arrival;
        path->last_arrival = at;
    }
    slot_bytes[slot] = (uint16_t)bytes;
    push(at, slot, to, 0);
    return;
drop:
    free_slots[free_count++] = slot;
}

// Performs what is due and returns when the next thing is, or -1.
static int64_t deliver_due(int64_t now) {
    while (heap_count > 0) {
        if (heap[0].at > now) {
            now = now_ns();
            if (heap[0].at > now) return heap[0].at;
        }
        Event event = pop();
        Port *port = &ports[event.port];
        int bytes = slot_bytes[event.slot];
        if (!event.is_leaving) {
            int64_t through = pass(&port->down, bytes, event.at);
            if (through < 0) {
                port->dropped_down++;
                free_slots[free_count++] = event.slot;
            } else {
                push(through, event.slot, event.port, 1);
            }
            continue;
        }
        if (write(port->fd, slots + (size_t)event.slot * SLOT_BYTES, (size_t)bytes) == bytes) {
            port->received++;
            port->received_bytes += bytes;
        }
        free_slots[free_count++] = event.slot;
        now = now_ns();
        int64_t late = (now - event.at) / 1000;
        lateness[late < 0 ? 0 : late < LATENESS_BUCKETS ? late : LATENESS_BUCKETS]++;
        delivered++;
    }
    return -1;
}

static void read_port(int index) {
    for (int turn = 0; turn < READS_A_TURN; turn++) {
        int64_t now = now_ns();
        deliver_due(now);
        if (free_count == 0) {
            char scratch[SLOT_BYTES];
            if (read(ports[index].fd, scratch, sizeof scratch) < 0) return;
            no_slot++;
            continue;
        }
        int32_t slot = free_slots[free_count - 1];
        ssize_t bytes = read(ports[index].fd, slots + (size_t)slot * SLOT_BYTES, SLOT_BYTES);
        if (bytes <= 0) return;
        free_count--;
        accept_packet(index, slot, (int)bytes, now_ns());
    }
}

static int make_tun(const char *name) {
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) fail("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%.15s", name);
    if (ioctl(fd, TUNSETIFF, &request) < 0) fail(name);
    int buffer = INT32_MAX;
    ioctl(fd, TUNSETSNDBUF, &buffer);
    return fd;
}

static Serialiser serialiser(double bits_per_second, double bucket_bytes, double line_bits_per_second, double queue_ms) {
    Serialiser s = {.ns_per_byte = 8e9 / bits_per_second, .line_ns_per_byte = 8e9 / line_bits_per_second};
    s.bucket_ns = (int64_t)(bucket_bytes * s.ns_per_byte);
    // A buffer holds at least 64 kB, as the cheapest router's does.
    double least = 65536 * s.ns_per_byte;
    s.queue_ns = (int64_t)(queue_ms * 1e6 > least ? queue_ms * 1e6 : least);
    return s;
}

// Lines of the plan:
//   seed NUMBER
//   ports COUNT
//   port INDEX NAME ADDRESS UPBITS UPBUCKET UPLINE DOWNBITS DOWNBUCKET DOWNLINE QUEUEMS
//   path FROM TO BITS DELAYMS JITTERMS LOSS REORDER REORDERMS QUEUEMS
//   end
static void read_plan(void) {
    char line[512];
    while (fgets(line, sizeof line, stdin)) {
        int index, to;
        double v[8];
        unsigned long long seed;
        char name[IFNAMSIZ];
        unsigned a, b, c, d;
        if (sscanf(line, "seed %llu", &seed) == 1) {
            random_state[0] = seed * 0x9E3779B97F4A7C15u + 1;
            random_state[1] = seed ^ 0xD1B54A32D192ED03u;
            for (int round = 0; round < 16; round++) unit();
        } else if (sscanf(line, "ports %d", &port_count) == 1) {
            if (port_count < 1 || port_count > MAX_PORTS) break;
            paths = calloc((size_t)port_count * port_count, sizeof *paths);
            if (!paths) fail("memory for the paths");
        } else if (sscanf(line, "port %d %15s %u.%u.%u.%u %lf %lf %lf %lf %lf %lf %lf", &index, name, &a, &b, &c, &d,
                          &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]) == 13) {
            if (index < 0 || index >= port_count) break;
            Port *port = &ports[index];
            snprintf(port->name, sizeof port->name, "%.15s", name);
            port->address = htonl(a << 24 | b << 16 | c << 8 | d);
            port->up = serialiser(v[0], v[1], v[2], v[6]);
            port->down = serialiser(v[3], v[4], v[5], v[6]);
        } else if (sscanf(line, "path %d %d %lf %lf %lf %lf %lf %lf %lf", &index, &to, &v[0], &v[1], &v[2], &v[3], &v[4],
                          &v[5], &v[6]) == 9) {
            if (!paths || index < 0 || index >= port_count || to < 0 || to >= port_count) break;
            Path *path = &paths[index * port_count + to];
            path->rate = serialiser(v[0], 0, v[0], v[6]);
            path->delay_ns = (int64_t)(v[1] * 1e6);
            path->jitter_ns = (int64_t)(v[2] * 1e6);
            path->loss = v[3];
            path->reorder = v[4];
            path->reorder_ns = (int64_t)(v[5] * 1e6);
        } else if (strcmp(line, "end\n") == 0) {
            return;
        } else {
            break;
        }
    }
    fprintf(stderr, "netlab router: the plan is not complete or not understood: %s\n", line);
    exit(1);
}

static int percentile_us(double share) {
    uint64_t wanted = (uint64_t)(share * delivered), seen = 0;
    for (int us = 0; us <= LATENESS_BUCKETS; us++) {
        seen += lateness[us];
        if (seen > wanted) return us;
    }
    return 0;
}

static void print_statistics(void) {
    printf("{\"delivered\":%llu,\"lateMicrosecondsP50\":%d,\"lateMicrosecondsP99\":%d,\"lateMicrosecondsP999\":%d,"
           "\"withoutSlot\":%llu,\"withoutRoute\":%llu,\"ports\":[",
           (unsigned long long)delivered, percentile_us(0.5), percentile_us(0.99), percentile_us(0.999),
           (unsigned long long)no_slot, (unsigned long long)no_route);
    for (int index = 0; index < port_count; index++) {
        Port *p = &ports[index];
        printf("%s{\"name\":\"%s\",\"sent\":%llu,\"sentBytes\":%llu,\"received\":%llu,\"receivedBytes\":%llu,"
               "\"lost\":%llu,\"droppedUp\":%llu,\"droppedPath\":%llu,\"droppedDown\":%llu}",
               index ? "," : "", p->name, (unsigned long long)p->sent, (unsigned long long)p->sent_bytes,
               (unsigned long long)p->received, (unsigned long long)p->received_bytes, (unsigned long long)p->lost,
               (unsigned long long)p->dropped_up, (unsigned long long)p->dropped_path,
               (unsigned long long)p->dropped_down);
    }
    printf("]}\n");
    fflush(stdout);
}

static void on_signal(int signal) {
    if (signal == SIGUSR1) is_restarting = 1;
    else is_ending = 1;
}

int main(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    read_plan();
    slots = malloc((size_t)slot_count * SLOT_BYTES);
    slot_bytes = malloc((size_t)slot_count * sizeof *slot_bytes);
    free_slots = malloc((size_t)slot_count * sizeof *free_slots);
    heap = malloc((size_t)(slot_count + 1) * sizeof *heap);
    if (!slots || !slot_bytes || !free_slots || !heap) fail("memory for the packets");
    for (int32_t slot = 0; slot < slot_count; slot++) free_slots[free_count++] = slot_count - 1 - slot;

    int poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poll_fd < 0) fail("epoll_create1");
    for (int index = 0; index < port_count; index++) {
        ports[index].fd = make_tun(ports[index].name);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, ports[index].fd, &event) < 0) fail("epoll_ctl");
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    // Without real time the router is late by milliseconds on a busy machine; it works all the same, and says so.
    if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0) perror("netlab router: mlockall");
    struct sched_param priority = {.sched_priority = 50};
    if (sched_setscheduler(0, SCHED_FIFO, &priority) < 0) perror("netlab router: SCHED_FIFO, so delays will vary");
    prctl(PR_SET_TIMERSLACK, 1);
    printf("ready\n");
    fflush(stdout);

    struct epoll_event events[64];
    while (!is_ending) {
        if (is_restarting) {
            is_restarting = 0;
            memset(lateness, 0, sizeof lateness);
            delivered = no_slot = no_route = 0;
            for (int index = 0; index < port_count; index++) {
                memset(&ports[index].sent, 0, sizeof(Port) - offsetof(Port, sent));
            }
        }
        int64_t next = deliver_due(now_ns());
        struct timespec wait = {0, 0}, *timeout = &wait;
        if (next < 0) {
            timeout = NULL;
        } else {
            int64_t left = next - now_ns() - SPIN_NS;
            if (left > 0) wait = (struct timespec){left / 1000000000, left % 1000000000};
        }
        int count = epoll_pwait2(poll_fd, events, 64, timeout, NULL);
        for (int index = 0; index < count; index++) read_port((int)events[index].data.u32);
    }
    print_statistics();
    return 0;
}
