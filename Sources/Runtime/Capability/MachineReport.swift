internal import Compute
internal import Foundation
package import Overlay

/// What this machine can do, found out at start: the source of its capability entry.
package struct MachineReport: Hashable, Sendable {
    /// Share of the free memory that a node offers; the rest is for everything else on the machine.
    static let offeredMemoryShare = 0.8
    /// Processor time for which the engine is timed; a product takes under a millisecond, and the best one counts.
    static let measuringSeconds = 0.02

    package var cores: Int
    package var memoryBytes: UInt64
    package var diskFreeBytes: UInt64
    package var flopsPerSecond: Double
    package var gpus: [String]
    package var onBattery: Bool

    /// Looks at the machine; takes a few hundredths of a second, on a thread of its own that
    /// yields to others: many nodes that start on one machine at once must not keep each other from joining.
    ///
    /// - Parameter flopsPerSecond: a speed to be taken instead of measuring one.
    package static func detect(diskPath: String, flopsPerSecond: Double? = nil) async -> MachineReport {
        await withCheckedContinuation { continuation in
            let thread = Thread {
                Platform.yieldToOthers()
                continuation.resume(
                    returning: MachineReport(
                        cores: ProcessInfo.processInfo.activeProcessorCount,
                        memoryBytes: UInt64(Double(SystemMemory.availableBytes) * offeredMemoryShare),
                        diskFreeBytes: diskFree(diskPath), flopsPerSecond: flopsPerSecond ?? measureFlops(),
                        gpus: GraphicsCards.names(), onBattery: PowerSource.isBattery))
            }
            thread.name = "weft-detect"
            thread.start()
        }
    }

    /// The capability entry's value, with what the configuration overrides.
    package func capability(_ configuration: NodeConfiguration) -> Capability {
        Capability(
            name: configuration.name, cores: cores, memoryBytes: configuration.memoryBytes ?? memoryBytes,
            flopsPerSecond: configuration.flopsPerSecond ?? flopsPerSecond, diskFreeBytes: diskFreeBytes, gpus: gpus,
            onBattery: onBattery, coordinator: configuration.coordinator, software: configuration.version)
    }

    /// The built-in engine's speed on one thread, which is what a stage's worker has: on the thread's own clock, because
    /// what else runs at this moment is not the machine's speed.
    package static func measureFlops() -> Double {
        GEMMBenchmark.flopsPerSecond(seconds: measuringSeconds) { ProcessTime.threadSeconds }
    }

    private static func diskFree(_ path: String) -> UInt64 {
        let attributes = try? FileManager.default.attributesOfFileSystem(forPath: path)
        return (attributes?[.systemFreeSize] as? NSNumber)?.uint64Value ?? 0
    }
}

/// Finds out what a node publishes of its machine.
package enum CapabilityDetection {
    /// The machine's report with what the configuration overrides; takes a few hundredths of a second.
    package static func detect(_ configuration: NodeConfiguration) async -> Capability {
        await MachineReport.detect(diskPath: configuration.state.path, flopsPerSecond: configuration.flopsPerSecond)
            .capability(configuration)
    }
}
