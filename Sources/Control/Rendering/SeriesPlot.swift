internal import Foundation

/// A drawing of one or more panels with lines over a common kind of axis, as SVG.
package struct SeriesPlot: Sendable {
    /// A line; its points in order of x.
    package struct Series: Sendable {
        package var name: String
        package var points: [(x: Double, y: Double)]

        package init(name: String, points: [(x: Double, y: Double)]) {
            self.name = name
            self.points = points
        }
    }

    /// A coordinate system with its lines. Values that are not finite are left out.
    package struct Panel: Sendable {
        package var title: String
        package var xLabel: String
        package var yLabel: String
        package var series: [Series]

        package init(title: String, xLabel: String, yLabel: String, series: [Series]) {
            self.title = title
            self.xLabel = xLabel
            self.yLabel = yLabel
            self.series = series.map { series in
                Series(name: series.name, points: series.points.filter { $0.x.isFinite && $0.y.isFinite })
            }
        }
    }

    private let title: String
    private let panels: [Panel]

    private static let width = 900.0
    private static let panelHeight = 300.0
    private static let heading = 60.0
    private static let left = 80.0
    private static let right = 150.0
    /// Colours that most people tell apart (Okabe and Ito).
    private static let colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]

    package init(title: String, panels: [Panel]) {
        self.title = title
        self.panels = panels
    }

    /// The whole document.
    package var document: String {
        let height = Self.heading + Self.panelHeight * Double(max(panels.count, 1))
        var canvas = SVGCanvas(width: Self.width, height: height)
        canvas.text(title, at: (Self.left, 36), size: 20, weight: "600")
        for (index, panel) in panels.enumerated() {
            Self.draw(panel, top: Self.heading + Double(index) * Self.panelHeight, on: &canvas)
        }
        return canvas.document
    }

    private static func draw(_ panel: Panel, top: Double, on canvas: inout SVGCanvas) {
        let points = panel.series.flatMap(\.points)
        let xs = range(points.map(\.x))
        let ys = range(points.map(\.y))
        let plotTop = top + 40
        let plotBottom = top + panelHeight - 50
        func place(_ x: Double, _ y: Double) -> (Double, Double) {
            (
                left + (x - xs.lowerBound) / (xs.upperBound - xs.lowerBound) * (width - left - right),
                plotBottom - (y - ys.lowerBound) / (ys.upperBound - ys.lowerBound) * (plotBottom - plotTop)
            )
        }
        canvas.text(panel.title, at: (left, top + 16), size: 15, weight: "600")
        canvas.text(panel.yLabel, at: (left, top + 32), size: 12, fill: SVGCanvas.faint)
        for tick in ticks(ys, about: 5) {
            let y = place(xs.lowerBound, tick).1
            canvas.line((left, y), (width - right, y), stroke: SVGCanvas.grid, width: 1)
            canvas.text(label(tick), at: (left - 10, y + 4), size: 12, anchor: "end")
        }
        for tick in ticks(xs, about: 8) {
            canvas.text(label(tick), at: (place(tick, ys.lowerBound).0, plotBottom + 18), size: 12, anchor: "middle")
        }
        canvas.text(
            panel.xLabel, at: ((left + width - right) / 2, plotBottom + 36), size: 12, anchor: "middle",
            fill: SVGCanvas.faint)
        for (index, series) in panel.series.enumerated() {
            let colour = colours[index % colours.count]
            let text = series.points.map(place).map { "\(SVGCanvas.number($0.0)),\(SVGCanvas.number($0.1))" }
            if text.count > 1 {
                canvas.add(
                    "<polyline points=\"\(text.joined(separator: " "))\" fill=\"none\" stroke=\"\(colour)\" "
                        + "stroke-width=\"2\" stroke-linejoin=\"round\"/>")
            }
            canvas.text(
                series.name, at: (width - right + 10, plotTop + 12 + 16 * Double(index)), size: 13, fill: colour,
                weight: "600")
        }
    }

    /// From zero, or from the least value if that is negative, to the greatest; never empty.
    private static func range(_ values: [Double]) -> ClosedRange<Double> {
        let low = min(values.min() ?? 0, 0)
        return low...max(values.max() ?? 1, low + 1e-9)
    }

    private static func label(_ value: Double) -> String {
        let digits = abs(value) >= 10 || value == value.rounded() ? 0 : abs(value) >= 1 ? 1 : 3
        return HumanText.decimal(value, digits: digits)
    }

    /// Round numbers inside a range: 1, 2 or 5 times a power of ten apart.
    private static func ticks(_ range: ClosedRange<Double>, about count: Double) -> [Double] {
        let raw = (range.upperBound - range.lowerBound) / count
        let power = pow(10, floor(log10(raw)))
        let step = ([1, 2, 5, 10].first { $0 * power >= raw } ?? 10) * power
        return stride(from: (range.lowerBound / step).rounded(.up), through: range.upperBound / step, by: 1).map {
            $0 * step
        }
    }
}
