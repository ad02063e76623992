internal import Foundation
package import Runtime

/// The course of a training run, gathered from its events; written as CSV and as a picture.
package struct LossCurve: Hashable, Sendable {
    package private(set) var steps: [TrainEvent.Step] = []
    package private(set) var validations: [TrainEvent.Validation] = []

    package init() {}

    /// Takes what belongs to the curve. A step that is repeated after a resume replaces its first run.
    package mutating func add(_ event: TrainEvent) {
        switch event {
        case .step(let step):
            while let last = steps.last, last.step >= step.step { steps.removeLast() }
            steps.append(step)
        case .validation(let validation):
            while let last = validations.last, last.step >= validation.step { validations.removeLast() }
            validations.append(validation)
        default: break
        }
    }

    /// One row a step: step, loss, its bits, learning rate, tokens per second, iteration seconds, predicted seconds,
    /// and the validation loss where it was measured after that step.
    package var csv: String {
        var rows = [
            "step,loss,loss_bits,learning_rate,tokens_per_second,iteration_seconds,predicted_iteration_seconds,"
                + "validation_loss"
        ]
        let validated = Dictionary(validations.map { ($0.step, $0.loss) }, uniquingKeysWith: { _, last in last })
        if let first = validated[0] { rows.append("0,,,,,,,\(first)") }
        for step in steps {
            rows.append(
                "\(step.step),\(step.loss),\(step.lossBits),\(step.learningRate),\(step.tokensPerSecond),"
                    + "\(step.iterationSeconds),\(step.predictedIterationSeconds.map { "\($0)" } ?? ""),"
                    + "\(validated[step.step].map { "\($0)" } ?? "")")
        }
        return rows.joined(separator: "\n") + "\n"
    }

    /// Training loss, its running mean, validation loss, and the unigram model's as a line to beat.
    package func svg(title: String) -> String {
        let plot = LossPlot(curve: self)
        return plot.document(title: title)
    }

    /// Mean over a window that grows with the run, so that the trend shows through the noise of small batches.
    var smoothed: [(step: Int, loss: Double)] {
        let window = max(1, steps.count / 25)
        var sum = 0.0
        return steps.indices.map { index in
            sum += Double(steps[index].loss)
            if index >= window { sum -= Double(steps[index - window].loss) }
            return (steps[index].step, sum / Double(min(index + 1, window)))
        }
    }
}

/// The drawing of a loss curve.
private struct LossPlot {
    private let curve: LossCurve
    private let width = 900.0
    private let height = 520.0
    private let left = 70.0
    private let right = 130.0
    private let top = 80.0
    private let bottom = 60.0
    private let steps: ClosedRange<Double>
    private let losses: ClosedRange<Double>

    init(curve: LossCurve) {
        self.curve = curve
        let values =
            curve.steps.map { Double($0.loss) } + curve.validations.flatMap { [$0.loss, $0.unigramLoss] }
        let finite = values.filter(\.isFinite)
        let low = finite.min() ?? 0
        let high = max(finite.max() ?? 1, low + 0.1)
        let room = (high - low) * 0.05
        losses = (low - room)...(high + room)
        let last = max(curve.steps.last?.step ?? 1, curve.validations.last?.step ?? 1, 1)
        steps = 0...Double(last)
    }

    private func point(_ step: Double, _ loss: Double) -> (Double, Double) {
        let x = left + (step - steps.lowerBound) / (steps.upperBound - steps.lowerBound) * (width - left - right)
        let y = top + (losses.upperBound - loss) / (losses.upperBound - losses.lowerBound) * (height - top - bottom)
        return (x, y)
    }

    func document(title: String) -> String {
        var canvas = SVGCanvas(width: width, height: height)
        canvas.text(title, at: (left, 38), size: 20, weight: "600")
        canvas.text("cross entropy in nats a byte", at: (left, 60), fill: SVGCanvas.faint)
        for tick in ticks(losses, about: 6) {
            let y = point(0, tick).1
            canvas.line((left, y), (width - right, y), stroke: SVGCanvas.grid, width: 1)
            canvas.text(HumanText.decimal(tick, digits: 2), at: (left - 10, y + 4), size: 12, anchor: "end")
        }
        for tick in ticks(steps, about: 8) where tick == tick.rounded() {
            let x = point(tick, losses.lowerBound).0
            canvas.text("\(Int(tick))", at: (x, height - bottom + 20), size: 12, anchor: "middle")
        }
        canvas.text(
            "step", at: ((left + width - right) / 2, height - 16), size: 12, anchor: "middle", fill: SVGCanvas.faint)
        var labels: [(y: Double, text: String, colour: String)] = []
        if let unigram = curve.validations.last?.unigramLoss {
            let y = point(0, unigram).1
            canvas.line((left, y), (width - right, y), stroke: "#b44d12", width: 1.5, dash: "6 5")
            labels.append((y, "byte unigrams", "#b44d12"))
        }
        draw(curve.steps.map { (Double($0.step), Double($0.loss)) }, colour: "#9db4dd", width: 1, on: &canvas)
        let smoothed = curve.smoothed.map { (Double($0.step), $0.loss) }
        draw(smoothed, colour: "#2448a8", width: 2.5, on: &canvas)
        if let last = smoothed.last { labels.append((point(last.0, last.1).1, "training", "#2448a8")) }
        let validations = curve.validations.map { (Double($0.step), $0.loss) }
        draw(validations, colour: "#1a9888", width: 2.5, on: &canvas)
        for (step, loss) in validations where loss.isFinite {
            let (x, y) = point(step, loss)
            canvas.add(
                "<circle cx=\"\(SVGCanvas.number(x))\" cy=\"\(SVGCanvas.number(y))\" r=\"4\" fill=\"#1a9888\">"
                    + "<title>validation after step \(Int(step)): \(HumanText.decimal(loss, digits: 4))</title></circle>"
            )
        }
        if let last = validations.last { labels.append((point(last.0, last.1).1, "validation", "#1a9888")) }
        drawLabels(labels, on: &canvas)
        return canvas.document
    }

    private func draw(_ values: [(Double, Double)], colour: String, width: Double, on canvas: inout SVGCanvas) {
        let points = values.filter { $0.1.isFinite }.map { point($0.0, $0.1) }
        guard points.count > 1 else { return }
        let text = points.map { "\(SVGCanvas.number($0.0)),\(SVGCanvas.number($0.1))" }.joined(separator: " ")
        canvas.add(
            "<polyline points=\"\(text)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"\(SVGCanvas.number(width))\" "
                + "stroke-linejoin=\"round\"/>")
    }

    /// Labels at the lines' right ends, pushed apart where they would cover each other.
    private func drawLabels(_ labels: [(y: Double, text: String, colour: String)], on canvas: inout SVGCanvas) {
        var lowest = -Double.infinity
        for label in labels.sorted(by: { $0.y < $1.y }) {
            let y = max(label.y, lowest + 16)
            lowest = y
            canvas.text(label.text, at: (width - right + 10, y + 4), size: 13, fill: label.colour, weight: "600")
        }
    }

    /// Round numbers inside a range: 1, 2 or 5 times a power of ten apart.
    private func ticks(_ range: ClosedRange<Double>, about count: Double) -> [Double] {
        let raw = (range.upperBound - range.lowerBound) / count
        let power = pow(10, floor(log10(raw)))
        let step = ([1, 2, 5, 10].first { $0 * power >= raw } ?? 10) * power
        return stride(from: (range.lowerBound / step).rounded(.up), through: range.upperBound / step, by: 1).map {
            $0 * step
        }
    }
}
