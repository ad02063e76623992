internal import Wire

/// One parser of bytes from outside, with the property that must hold for every input.
///
/// The fuzzer in `Tools/Fuzz` and the tests run the same targets: the first looks for new inputs, the second replay the
/// committed ones. This is the only room with public declarations, because the fuzzer is a package of its own.
public struct FuzzTarget: Sendable {
    /// Name of the target and of its corpus folder, "room-parser".
    public let name: String

    /// Largest input worth trying, in bytes: a little over what the transport delivers to the parser.
    public let maximumByteCount: Int

    /// Real encodings to start from.
    public let seeds: @Sendable () -> [[UInt8]]

    private let check: @Sendable ([UInt8]) throws(FuzzFinding) -> Bool

    init(
        _ name: String, maximumByteCount: Int, seeds: @escaping @Sendable () -> [[UInt8]],
        check: @escaping @Sendable ([UInt8]) throws(FuzzFinding) -> Bool
    ) {
        self.name = name
        self.maximumByteCount = maximumByteCount
        self.seeds = seeds
        self.check = check
    }

    /// Feeds one input to the parser. Returns whether the parser accepted it; throws if the property does not hold.
    public func run(_ bytes: [UInt8]) throws(FuzzFinding) -> Bool { try check(bytes) }

    /// All targets, in the order of the rooms.
    public static let all: [FuzzTarget] =
        wire + noise + overlay + [overlayNode] + shards + pipeline + topology + compute

    /// The target of this name.
    public static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// A property that did not hold.
public struct FuzzFinding: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

extension FuzzTarget {
    /// The property of every canonical codec: what decodes, encodes to the very same bytes.
    static func codec<Value: WireCodable>(
        _ name: String, maximumByteCount: Int = Limits.datagramBytes, seeds: @escaping @Sendable () -> [Value]
    ) -> FuzzTarget {
        FuzzTarget(
            name, maximumByteCount: maximumByteCount, seeds: { seeds().map(\.wireBytes) },
            check: { bytes throws(FuzzFinding) in
                let value: Value
                do { value = try Value(wireBytes: bytes) } catch { return false }
                try expectSame(value.wireBytes, bytes)
                return true
            })
    }

    /// Throws if a value read from `original` was written differently.
    static func expectSame(_ written: [UInt8], _ original: [UInt8]) throws(FuzzFinding) {
        guard written != original else { return }
        let position = zip(written, original).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        throw FuzzFinding(
            "not canonical: \(original.count) bytes were accepted and written again as \(written.count), first "
                + "difference at byte \(position ?? min(written.count, original.count))")
    }
}
