/// An SVG picture of pipelines, one below the other: rows of boxes joined by arrows, and what is written beside them.
struct PlanCanvas {
    /// A stage.
    struct Box {
        var title: String
        var lines: [String]
        /// The share of the time for which its peer works, from 0 to 1, drawn as a bar; `nil` draws none.
        var busy: Double?
        var isBottleneck = false
    }

    /// The link from a stage to the next.
    struct Arrow {
        var above: String
        var below: String
        var isBottleneck = false
    }

    private static let boxWidth = 168.0
    private static let boxHeight = 56.0
    private static let gap = 84.0
    private static let rowHeight = 84.0
    private static let margin = 20.0
    private static let head = 64.0
    private static let label = 130.0
    private static let line = 18.0
    private static let alarm = "#c22"

    private var lines: [String] = []
    private var rows = 0
    private var longest = 0
    private var footLines = 0

    init(title: String, subtitle: String) {
        write(Self.margin, 26, title, size: 16)
        write(Self.margin, 46, subtitle)
    }

    /// Adds a pipeline: what is written before it, its stages, and the links between them (one fewer).
    mutating func addRow(heading: [String], boxes: [Box], arrows: [Arrow]) {
        let top = Self.head + Double(rows) * Self.rowHeight
        for (index, text) in heading.enumerated() {
            write(Self.margin, top + 24 + 17 * Double(index), text, size: index == 0 ? 13 : 11)
        }
        for (position, box) in boxes.enumerated() {
            let left = Self.margin + Self.label + Double(position) * (Self.boxWidth + Self.gap)
            draw(box, left: left, top: top)
            if position < arrows.count { draw(arrows[position], left: left + Self.boxWidth, top: top) }
        }
        rows += 1
        longest = max(longest, boxes.count)
    }

    /// Adds a line below all rows.
    mutating func addFoot(_ text: String, isBottleneck: Bool = false) {
        let top = Self.head + Double(rows) * Self.rowHeight + 26 + Self.line * Double(footLines)
        write(Self.margin, top, text, colour: isBottleneck ? Self.alarm : "#222")
        footLines += 1
    }

    /// A whole SVG document.
    var svg: String {
        let width = number(2 * Self.margin + Self.label + Double(longest) * (Self.boxWidth + Self.gap))
        let height = number(Self.head + Double(rows) * Self.rowHeight + 24 + Self.line * Double(max(footLines, 2)))
        let opening = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(width)\" height=\"\(height)\" "
                + "viewBox=\"0 0 \(width) \(height)\" font-family=\"sans-serif\" font-size=\"12\">",
            "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" "
                + "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>",
            "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
        ]
        return (opening + lines + ["</svg>", ""]).joined(separator: "\n")
    }

    private mutating func draw(_ box: Box, left: Double, top: Double) {
        lines.append(
            "<rect x=\"\(number(left))\" y=\"\(number(top))\" width=\"\(number(Self.boxWidth))\" "
                + "height=\"\(number(Self.boxHeight))\" rx=\"6\" fill=\"#eef3fa\" stroke=\""
                + "\(box.isBottleneck ? Self.alarm : "#456")\" stroke-width=\"\(box.isBottleneck ? "3" : "1")\"/>")
        if let busy = box.busy {
            lines.append(
                "<rect x=\"\(number(left + 1))\" y=\"\(number(top + Self.boxHeight - 6))\" width=\""
                    + "\(number((Self.boxWidth - 2) * min(1, busy)))\" height=\"5\" fill=\"#38a\"/>")
        }
        write(left + 8, top + 17, box.title, size: 13)
        for (index, text) in box.lines.enumerated() { write(left + 8, top + 32 + 14 * Double(index), text) }
    }

    private mutating func draw(_ arrow: Arrow, left: Double, top: Double) {
        let middle = top + Self.boxHeight / 2
        lines.append(
            "<line x1=\"\(number(left + 4))\" y1=\"\(number(middle))\" x2=\"\(number(left + Self.gap - 4))\" "
                + "y2=\"\(number(middle))\" stroke=\"\(arrow.isBottleneck ? Self.alarm : "#555")\" stroke-width=\""
                + "\(arrow.isBottleneck ? "3" : "1.5")\" marker-end=\"url(#tip)\"/>")
        write(left + 6, middle - 7, arrow.above, size: 10)
        write(left + 6, middle + 15, arrow.below, size: 10)
    }

    private mutating func write(
        _ left: Double, _ top: Double, _ content: String, size: Int = 11, colour: String = "#222"
    ) {
        var safe = ""
        for character in content {
            switch character {
            case "&": safe += "&amp;"
            case "<": safe += "&lt;"
            case ">": safe += "&gt;"
            default: safe.append(character)
            }
        }
        lines.append(
            "<text x=\"\(number(left))\" y=\"\(number(top))\" font-size=\"\(size)\" fill=\"\(colour)\">\(safe)</text>")
    }

    private func number(_ value: Double) -> String { Figures.fixed(value, digits: 1) }
}
