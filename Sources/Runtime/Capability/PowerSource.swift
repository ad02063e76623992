internal import Foundation

/// Whether the machine runs on battery now.
enum PowerSource {
    static var isBattery: Bool {
        #if os(Linux)
            return isBattery(directory: "/sys/class/power_supply")
        #elseif os(macOS)
            return CommandText.run("/usr/bin/pmset", ["-g", "batt"])?.contains("'Battery Power'") ?? false
        #else
            return false
        #endif
    }

    /// Linux: some battery of the system is being discharged, and no mains adapter is online.
    static func isBattery(directory: String) -> Bool {
        let supplies = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        var discharging = false
        for name in supplies.sorted() {
            let supply = directory + "/" + name
            switch SystemText.line(supply + "/type") {
            case "Mains", "USB": if SystemText.line(supply + "/online") == "1" { return false }
            case "Battery":
                // Scope "Device" is the battery of a mouse.
                if SystemText.line(supply + "/scope") != "Device", SystemText.line(supply + "/status") == "Discharging"
                {
                    discharging = true
                }
            default: break
            }
        }
        return discharging
    }
}
