import Foundation
import Overlay
import Runtime
import Testing
import Wire

/// What the machine is found to be, and what the configuration says instead.
@Suite struct CapabilityTests {
    @Test func thisMachineHasEverything() async throws {
        let report = await MachineReport.detect(diskPath: "/tmp")
        #expect(report.cores >= 1)
        #expect(report.memoryBytes > 1 << 24, "\(report.memoryBytes) bytes of memory")
        #expect(report.diskFreeBytes > 0)
        #expect(report.flopsPerSecond > 1e8, "\(report.flopsPerSecond) FLOP/s")
    }

    @Test func theConfigurationOverrides() async throws {
        let configuration = try NodeConfiguration(
            state: StateDirectory(path: "/tmp"),
            settings: NodeSettings(
                name: "loom", listen: "127.0.0.1:1", coordinator: false, memoryBytes: 123, flopsPerSecond: 4.5e9),
            bootstrap: [], version: "9")
        let capability = await CapabilityDetection.detect(configuration)
        #expect(capability.name == "loom" && capability.software == "9" && !capability.coordinator)
        #expect(capability.memoryBytes == 123 && capability.flopsPerSecond == 4.5e9)
        #expect(try Capability(wireBytes: capability.wireBytes) == capability)
    }
}
