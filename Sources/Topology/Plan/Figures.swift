/// Numbers for people, without Foundation.
package enum Figures {
    /// "12.3 ms": three significant digits with a unit that fits.
    package static func seconds(_ seconds: Double) -> String {
        guard seconds.isFinite else { return "never" }
        if seconds >= 1 || seconds == 0 { return significant(seconds) + " s" }
        if seconds >= 1e-3 { return significant(seconds * 1e3) + " ms" }
        return significant(seconds * 1e6) + " us"
    }

    /// "1.3 GB": decimal units.
    package static func bytes(_ bytes: Double) -> String {
        var value = bytes
        var unit = 0
        let units = ["B", "kB", "MB", "GB", "TB", "PB"]
        while value >= 999.5, unit + 1 < units.count {
            value /= 1000
            unit += 1
        }
        return significant(value) + " " + units[unit]
    }

    /// Three significant digits.
    package static func significant(_ value: Double) -> String {
        guard value.isFinite else { return "\(value)" }
        let magnitude = abs(value)
        let digits = magnitude >= 99.95 ? 0 : magnitude >= 9.995 ? 1 : magnitude >= 0.9995 ? 2 : 3
        return fixed(value, digits: digits)
    }

    /// So many digits after the point.
    package static func fixed(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        var scale: Int64 = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int64((abs(value) * Double(scale)).rounded())
        let fraction = String(scaled % scale)
        let sign = value < 0 && scaled != 0 ? "-" : ""
        guard digits > 0 else { return sign + "\(scaled)" }
        return sign + "\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}
