package import Overlay

extension CapabilityView {
    /// A capability entry for the local API.
    package init(_ capability: Capability) {
        self.init(
            cores: capability.cores, memoryBytes: capability.memoryBytes, flopsPerSecond: capability.flopsPerSecond,
            diskFreeBytes: capability.diskFreeBytes, gpus: capability.gpus, onBattery: capability.onBattery,
            coordinator: capability.coordinator, version: capability.software)
    }
}
