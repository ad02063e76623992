// Datagrams with the kernel's arrival times, which Swift's socket libraries do not hand over.
#ifndef CTIMESTAMPS_H
#define CTIMESTAMPS_H

#include <stddef.h>
#include <stdint.h>

/// Where a datagram came from: the two halves of an IPv6 address (an IPv4 one in its mapped form) as numbers, and a port.
typedef struct {
    uint64_t high, low;
    uint16_t port;
} weft_source;

/// Opens a non-blocking UDP port. `address` has 4 or 16 bytes. Both socket buffers get `buffer_bytes` if this process may,
/// else what the system allows. The descriptor, or the negative of `errno`.
int weft_datagram_open(const uint8_t *address, size_t address_bytes, uint16_t port, int buffer_bytes);

/// Reads one datagram. Its length (what exceeds `capacity` is cut off), or -1 if there is none now.
long weft_datagram_receive(int descriptor, void *buffer, size_t capacity, weft_source *source);

/// When the datagram that was read last had arrived, in nanoseconds of the real-time clock; 0 if the system does not say.
/// The first call switches the time stamps on.
int64_t weft_datagram_arrival(int descriptor);

/// Sends `bytes` to an address of the port's own family (4 or 16 bytes) as datagrams of `segment_bytes` each, in one pass
/// through the kernel, so that they leave back to back. At most 64 datagrams and 65,000 bytes. 0, or the negative of
/// `errno`; nothing was sent then. `-ENOSYS` where the system cannot.
int weft_datagram_send(
    int descriptor, const void *bytes, size_t count, uint16_t segment_bytes, const uint8_t *address, size_t address_bytes,
    uint16_t port);

/// Nanoseconds to add to a time of the real-time clock to get the monotonic clock's.
int64_t weft_clock_offset(void);

#endif
