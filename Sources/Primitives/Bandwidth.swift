/// A data rate.
package struct Bandwidth: Hashable, Comparable, Sendable {
    /// Bytes per second; never negative, never NaN.
    package let bytesPerSecond: Double

    /// Negative and NaN rates become zero.
    package init(bytesPerSecond: Double) { self.bytesPerSecond = bytesPerSecond > 0 ? bytesPerSecond : 0 }

    package init(bitsPerSecond: Double) { self.init(bytesPerSecond: bitsPerSecond / 8) }

    /// Bits per second.
    package var bitsPerSecond: Double { bytesPerSecond * 8 }

    /// Megabits (10⁶ bits) per second, the unit in which people quote links.
    package var megabitsPerSecond: Double { bytesPerSecond * 8e-6 }

    /// Time to push this many bytes through; infinite at rate zero, so callers check `isFinite`.
    package func seconds(forBytes bytes: Double) -> Double { bytes / bytesPerSecond }

    package static func < (left: Bandwidth, right: Bandwidth) -> Bool { left.bytesPerSecond < right.bytesPerSecond }

    /// A rate of nothing.
    package static let zero = Bandwidth(bytesPerSecond: 0)
}

extension Bandwidth: CustomStringConvertible {
    /// For people: "87.3 Mbit/s", with three significant digits.
    package var description: String {
        var value = bitsPerSecond
        var unit = 0
        let units = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]
        while value >= 999.5, unit + 1 < units.count {
            value /= 1000
            unit += 1
        }
        let scale: Double = value >= 99.95 ? 1 : value >= 9.995 ? 10 : 100
        let rounded = (value * scale).rounded() / scale
        let whole = rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
        return "\(whole) \(units[unit])"
    }
}
