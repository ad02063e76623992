package import Metrics
internal import Synchronization

/// Keeps the process's metrics and writes them as Prometheus text.
///
/// Counters become counters, meters and plain recorders gauges, timers and aggregating recorders histograms. Labels
/// such as `weft.datagrams.dropped` become names such as `weft_datagrams_dropped_total`.
package final class PrometheusRegistry: MetricsFactory, Sendable {
    private let metrics = Mutex<[MetricKey: PrometheusMetric]>([:])

    package init() {}

    /// The exposition format, version 0.0.4: sorted by name, so that two scrapes can be compared.
    package func text() -> String {
        let all = metrics.withLock { $0 }
        var lines: [String] = []
        var previous = ""
        for key in all.keys.sorted() {
            guard let metric = all[key] else { continue }
            if key.name != previous {
                lines.append("# TYPE \(key.name) \(key.kind.rawValue)")
                previous = key.name
            }
            lines.append(contentsOf: metric.lines(name: key.name, labels: key.labels))
        }
        return lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
    }

    private func metric(_ label: String, _ dimensions: [(String, String)], _ kind: MetricKind, suffix: String)
        -> PrometheusMetric
    {
        let key = MetricKey(label: label, dimensions: dimensions, kind: kind, suffix: suffix)
        return metrics.withLock { metrics in
            if let present = metrics[key] { return present }
            let made = PrometheusMetric(kind: kind)
            metrics[key] = made
            return made
        }
    }

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        metric(label, dimensions, .counter, suffix: "_total")
    }

    package func makeFloatingPointCounter(label: String, dimensions: [(String, String)])
        -> any FloatingPointCounterHandler
    {
        FloatingPointCounter(metric: metric(label, dimensions, .counter, suffix: "_total"))
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        metric(label, dimensions, .gauge, suffix: "")
    }

    package func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        metric(label, dimensions, aggregate ? .histogram : .gauge, suffix: "")
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        metric(label, dimensions, .histogram, suffix: "_seconds")
    }

    package func destroyCounter(_ handler: any CounterHandler) { forget(handler) }
    package func destroyMeter(_ handler: any MeterHandler) { forget(handler) }
    package func destroyRecorder(_ handler: any RecorderHandler) { forget(handler) }
    package func destroyTimer(_ handler: any TimerHandler) { forget(handler) }
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {
        if let counter = handler as? FloatingPointCounter { forget(counter.metric) }
    }

    private func forget(_ handler: AnyObject) {
        metrics.withLock { metrics in
            for (key, metric) in metrics where metric === handler { metrics[key] = nil }
        }
    }
}

/// swift-metrics wants a class of its own here, because the integer counter's `increment` has the same name.
private final class FloatingPointCounter: FloatingPointCounterHandler, Sendable {
    let metric: PrometheusMetric

    init(metric: PrometheusMetric) { self.metric = metric }

    func increment(by amount: Double) { metric.add(amount) }
    func reset() { metric.reset() }
}

/// The kinds of the exposition format that are used here.
enum MetricKind: String, Sendable {
    case counter, gauge, histogram
}

/// Name and labels in Prometheus' spelling.
private struct MetricKey: Hashable, Comparable, Sendable {
    let name: String
    let labels: String
    let kind: MetricKind

    init(label: String, dimensions: [(String, String)], kind: MetricKind, suffix: String) {
        let name = Self.identifier(label)
        self.name = name.hasSuffix(suffix) ? name : name + suffix
        labels = dimensions.sorted { $0.0 < $1.0 }.map { "\(Self.identifier($0))=\"\(Self.escape($1))\"" }
            .joined(separator: ",")
        self.kind = kind
    }

    static func < (left: MetricKey, right: MetricKey) -> Bool {
        (left.name, left.labels) < (right.name, right.labels)
    }

    private static func identifier(_ text: String) -> String {
        var result = String(text.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") ? $0 : "_" })
        if result.first?.isNumber ?? true { result = "_" + result }
        return result
    }

    private static func escape(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
