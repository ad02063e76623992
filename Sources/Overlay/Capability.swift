package import Wire

/// What a peer's machine can do, as it says itself: the value of `EntryKey.capability`.
package struct Capability: Hashable, WireCodable {
    /// GPUs that are listed at most.
    package static let maximumGPUs = 8

    /// The peer's name for people, at most `Limits.nameBytes` of UTF-8; not unique and not trusted.
    package var name: String
    /// Logical processors.
    package var cores: Int
    /// Bytes of memory that weights and activations may take.
    package var memoryBytes: UInt64
    /// Measured with a short run of the built-in engine; single precision, all cores.
    package var flopsPerSecond: Double
    /// Bytes of disk that shards may take.
    package var diskFreeBytes: UInt64
    /// One line a GPU, as the vendor's tool names it.
    package var gpus: [String]
    /// Whether the machine runs on battery now.
    package var onBattery: Bool
    /// Whether the peer is willing to coordinate jobs.
    package var coordinator: Bool
    /// The version of the software, as `weft --version` prints it.
    package var software: String

    package init(
        name: String, cores: Int, memoryBytes: UInt64, flopsPerSecond: Double, diskFreeBytes: UInt64,
        gpus: [String] = [], onBattery: Bool = false, coordinator: Bool = true, software: String
    ) {
        self.name = Self.bounded(name)
        self.cores = max(0, min(cores, Int(UInt16.max)))
        self.memoryBytes = memoryBytes
        self.flopsPerSecond = flopsPerSecond.isFinite && flopsPerSecond > 0 ? flopsPerSecond : 0
        self.diskFreeBytes = diskFreeBytes
        self.gpus = gpus.prefix(Self.maximumGPUs).map(Self.bounded)
        self.onBattery = onBattery
        self.coordinator = coordinator
        self.software = Self.bounded(software)
    }

    /// The longest prefix of whole characters that fits in a name.
    private static func bounded(_ text: String) -> String {
        var result = text
        while result.utf8.count > Limits.nameBytes { result.removeLast() }
        return result
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(Self.bounded(name))
        writer.write(UInt16(clamping: cores))
        writer.write(memoryBytes)
        writer.write(flopsPerSecond)
        writer.write(diskFreeBytes)
        writer.writeVarint(UInt64(min(gpus.count, Self.maximumGPUs)))
        for gpu in gpus.prefix(Self.maximumGPUs) { writer.write(Self.bounded(gpu)) }
        writer.write(onBattery)
        writer.write(coordinator)
        writer.write(Self.bounded(software))
    }

    package init(from reader: inout WireReader) throws(WireError) {
        name = try reader.readString(maximum: Limits.nameBytes)
        cores = Int(try reader.read(UInt16.self))
        memoryBytes = try reader.read()
        flopsPerSecond = try reader.readFiniteDouble()
        guard flopsPerSecond.sign == .plus else { throw .outOfRange }
        diskFreeBytes = try reader.read()
        let count = try reader.readCount(maximum: Self.maximumGPUs)
        var gpus: [String] = []
        for _ in 0..<count { gpus.append(try reader.readString(maximum: Limits.nameBytes)) }
        self.gpus = gpus
        onBattery = try reader.readBool()
        coordinator = try reader.readBool()
        software = try reader.readString(maximum: Limits.nameBytes)
    }
}
