/// Collects the elements of an SVG drawing and escapes what comes from outside.
struct SVGCanvas {
    let width: Double
    let height: Double
    private var body: [String] = []

    /// Colours that read on white and are told apart by most people (Okabe and Ito).
    static let ink = "#1f2933"
    static let faint = "#9aa5b1"
    static let grid = "#e4e7eb"

    init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    mutating func add(_ element: String) { body.append(element) }

    mutating func line(
        _ from: (Double, Double), _ to: (Double, Double), stroke: String, width: Double, dash: String = ""
    ) {
        let dashes = dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\""
        add(
            "<line x1=\"\(Self.number(from.0))\" y1=\"\(Self.number(from.1))\" x2=\"\(Self.number(to.0))\" "
                + "y2=\"\(Self.number(to.1))\" stroke=\"\(stroke)\" stroke-width=\"\(Self.number(width))\"\(dashes)/>")
    }

    mutating func text(
        _ text: String, at point: (Double, Double), size: Double = 13, anchor: String = "start", fill: String = ink,
        weight: String = "normal"
    ) {
        add(
            "<text x=\"\(Self.number(point.0))\" y=\"\(Self.number(point.1))\" font-size=\"\(Self.number(size))\" "
                + "text-anchor=\"\(anchor)\" fill=\"\(fill)\" font-weight=\"\(weight)\">\(Self.escape(text))</text>")
    }

    /// The whole document.
    var document: String {
        """
        <?xml version="1.0" encoding="UTF-8"?>
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.number(width)) \(Self.number(height))" \
        width="\(Self.number(width))" height="\(Self.number(height))" font-family="Inter, Helvetica, Arial, sans-serif">
        <rect width="100%" height="100%" fill="#ffffff"/>
        \(body.joined(separator: "\n"))
        </svg>

        """
    }

    /// Coordinates to a tenth, so that files stay small and equal.
    static func number(_ value: Double) -> String {
        let text = HumanText.decimal(value, digits: 1)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    static func escape(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            .replacing("\"", with: "&quot;")
    }
}
