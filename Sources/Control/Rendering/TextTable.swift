/// A table for people, with columns as wide as their widest cell.
///
/// Colour codes are added after the padding, so they never shift a column.
package struct TextTable: Sendable {
    package enum Alignment: Sendable {
        case left, right
    }

    /// Text and how it looks.
    package struct Cell: Sendable, ExpressibleByStringInterpolation {
        package var text: String
        package var style: TextStyle

        package init(_ text: String, _ style: TextStyle = .plain) {
            self.text = text
            self.style = style
        }

        package init(stringLiteral value: String) { self.init(value) }
    }

    private let columns: [(title: String, alignment: Alignment)]
    private var rows: [[Cell]] = []

    package init(_ columns: [(title: String, alignment: Alignment)]) { self.columns = columns }

    /// Adds a row; missing cells are empty, further ones are left out.
    package mutating func add(_ cells: [Cell]) {
        rows.append(columns.indices.map { $0 < cells.count ? cells[$0] : "" })
    }

    /// The lines, headings first.
    package func lines(colour: Bool) -> [String] {
        let widths = columns.indices.map { index in
            rows.map { $0[index].text.count }.reduce(columns[index].title.count, max)
        }
        func line(_ cells: [Cell]) -> String {
            var text = ""
            for (index, cell) in cells.enumerated() {
                let padding = String(repeating: " ", count: widths[index] - cell.text.count)
                let styled = cell.style.apply(to: cell.text, colour: colour)
                text += columns[index].alignment == .right ? padding + styled : styled + padding
                if index + 1 < cells.count { text += "  " }
            }
            while text.last == " " { text.removeLast() }
            return text
        }
        return [line(columns.map { Cell($0.title, .heading) })] + rows.map(line)
    }
}

/// How text looks on a terminal.
package enum TextStyle: Sendable, CaseIterable {
    case plain, heading, good, warning, bad, faint, accent

    /// The text with the style's SGR codes around it, if colour is wanted.
    package func apply(to text: String, colour: Bool) -> String {
        guard colour, let code, !text.isEmpty else { return text }
        return "\u{1B}[\(code)m\(text)\u{1B}[0m"
    }

    private var code: String? {
        switch self {
        case .plain: nil
        case .heading: "1"
        case .good: "32"
        case .warning: "33"
        case .bad: "31"
        case .faint: "2"
        case .accent: "36"
        }
    }
}

/// Numbers for people that Topology's figures do not cover.
package enum HumanText {
    /// "1 h 5 min", "3 min 20 s", "12.4 s".
    package static func duration(seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0 else { return "?" }
        if seconds < 60 { return seconds < 9.95 ? decimal(seconds, digits: 1) + " s" : "\(Int(seconds.rounded())) s" }
        let total = Int(seconds.rounded())
        if total < 3600 { return "\(total / 60) min \(total % 60) s" }
        if total < 86_400 { return "\(total / 3600) h \(total % 3600 / 60) min" }
        return "\(total / 86_400) d \(total % 86_400 / 3600) h"
    }

    /// A fixed number of digits after the point.
    package static func decimal(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e12 else { return "\(value)" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int64((abs(value) * scale).rounded())
        let sign = value < 0 && scaled != 0 ? "-" : ""
        guard digits > 0 else { return sign + "\(scaled)" }
        let fraction = String(scaled % Int64(scale))
        return sign + "\(scaled / Int64(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    /// "|#######.....|" of a width, for a fraction between 0 and 1.
    package static func bar(fraction: Double, width: Int) -> String {
        let filled = Int((max(0, min(1, fraction.isNaN ? 0 : fraction)) * Double(width)).rounded())
        return String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    }
}
