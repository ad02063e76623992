import CSodium
internal import Synchronization

/// Secret bytes in guarded memory that is locked where the system allows it and zeroed when released.
///
/// Move-only, so a secret exists once; reading goes through a borrow.
// Proof for @unchecked: the memory is written only inside `init` and freed only in `deinit`; in between it is read-only,
// and reading the same bytes from several threads is safe.
package struct SecretBytes: ~Copyable, @unchecked Sendable {
    private let storage: UnsafeMutableRawBufferPointer

    /// Number of secret bytes.
    package var count: Int { storage.count }

    /// Allocates `count` bytes and lets `initialize` fill them.
    package init(count: Int, initializingWith initialize: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        Sodium.start()
        storage = UnsafeMutableRawBufferPointer(start: SecretMemory.take(count), count: count)
        do { try initialize(storage) } catch {
            SecretMemory.giveBack(storage)
            throw error
        }
    }

    /// Copies bytes in; the caller's copy is the caller's to erase (`eraseBytes`).
    package init(copying bytes: some Collection<UInt8>) {
        self.init(count: bytes.count) { $0.copyBytes(from: bytes) }
    }

    deinit { SecretMemory.giveBack(storage) }

    /// Lends the bytes; the pointer must not outlive the call.
    package borrowing func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(storage))
    }

    /// A second, equal secret; explicit, because every copy is one more thing to lose.
    package borrowing func duplicate() -> SecretBytes {
        let source = UnsafeRawBufferPointer(storage)
        return SecretBytes(count: storage.count) { $0.copyMemory(from: source) }
    }

    /// Comparison in constant time.
    package borrowing func equals(_ other: borrowing SecretBytes) -> Bool {
        guard count == other.count, let left = storage.baseAddress, let right = other.storage.baseAddress else {
            return false
        }
        return sodium_memcmp(left, right, count) == 0
    }
}

/// Where secrets live: libsodium's guarded, locked pages.
///
/// Keys are small and many (a handshake makes a dozen), and giving each pages of its own costs several system calls, more
/// than a Diffie-Hellman operation. So small secrets share pages in slots that are zeroed when given back; the guard pages
/// are around the slots together.
private enum SecretMemory {
    private static let slotByteCount = 64
    private static let slotsPerSlab = 64

    /// Addresses of free slots.
    private static let free = Mutex<[UInt]>([])

    static func take(_ count: Int) -> UnsafeMutableRawPointer {
        guard count <= slotByteCount else { return pages(count) }
        let address = free.withLock { free -> UInt in
            if let address = free.popLast() { return address }
            let slab = UInt(bitPattern: pages(slotByteCount * slotsPerSlab))
            free += (1..<UInt(slotsPerSlab)).map { slab + $0 * UInt(slotByteCount) }
            return slab
        }
        guard let slot = UnsafeMutableRawPointer(bitPattern: address) else {
            preconditionFailure("a slot has an address")
        }
        return slot
    }

    static func giveBack(_ storage: UnsafeMutableRawBufferPointer) {
        guard storage.count <= slotByteCount else { return sodium_free(storage.baseAddress) }
        if let base = storage.baseAddress { sodium_memzero(base, storage.count) }
        let address = UInt(bitPattern: storage.baseAddress)
        free.withLock { $0.append(address) }
    }

    private static func pages(_ count: Int) -> UnsafeMutableRawPointer {
        guard let base = sodium_malloc(count) else {
            preconditionFailure("out of memory for \(count) secret bytes")
        }
        return base
    }
}

/// Zeroes an array that held a secret, in a way the optimiser may not remove.
package func eraseBytes(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { buffer in
        if let base = buffer.baseAddress { sodium_memzero(base, buffer.count) }
    }
    bytes = []
}

/// Compares two byte strings without telling by the time taken where they differ.
package func equalInConstantTime(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    return left.withUnsafeBytes { l in
        right.withUnsafeBytes { r in
            guard let a = l.baseAddress, let b = r.baseAddress else { return true }
            return sodium_memcmp(a, b, left.count) == 0
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The address as libsodium wants it. Every buffer it is used on holds at least one byte.
    var octets: UnsafePointer<UInt8> {
        guard let base = bindMemory(to: UInt8.self).baseAddress else {
            preconditionFailure("an empty buffer has no address")
        }
        return base
    }
}

extension UnsafeMutableRawBufferPointer {
    /// The address as libsodium wants it. Every buffer it is used on holds at least one byte.
    var octets: UnsafeMutablePointer<UInt8> {
        guard let base = bindMemory(to: UInt8.self).baseAddress else {
            preconditionFailure("an empty buffer has no address")
        }
        return base
    }
}

/// libsodium wants to pick its fastest implementations once before anything else is called.
enum Sodium {
    private static let started: Bool = sodium_init() >= 0

    static func start() { precondition(started, "libsodium could not start") }
}
