internal import Metrics
internal import Synchronization

/// One time series: a counter, a gauge or a histogram.
final class PrometheusMetric: CounterHandler, MeterHandler, RecorderHandler, TimerHandler, Sendable {
    /// Upper bounds of histogram buckets: 1, 2.5 and 5 of each decade from 10 µs to 100 s. They fit times; for other
    /// recorded values sum and count stay exact.
    static let bounds: [Double] = [
        1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
        25, 50, 100,
    ]

    private struct State {
        var value = 0.0
        var count: UInt64 = 0
        var buckets: [UInt64]
    }

    private let kind: MetricKind
    private let state: Mutex<State>

    init(kind: MetricKind) {
        self.kind = kind
        state = Mutex(State(buckets: kind == .histogram ? Array(repeating: 0, count: Self.bounds.count) : []))
    }

    func add(_ amount: Double) { state.withLock { $0.value += amount } }

    func reset() {
        state.withLock { state in
            state.value = 0
            state.count = 0
            for index in state.buckets.indices { state.buckets[index] = 0 }
        }
    }

    func increment(by amount: Int64) { add(Double(amount)) }
    func increment(by amount: Double) { add(amount) }
    func decrement(by amount: Double) { add(-amount) }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { state.withLock { $0.value = value } }
    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        guard kind == .histogram else { return set(value) }
        state.withLock { state in
            state.value += value
            state.count += 1
            if let bucket = Self.bounds.firstIndex(where: { value <= $0 }) { state.buckets[bucket] += 1 }
        }
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    /// The series' lines of the exposition.
    func lines(name: String, labels: String) -> [String] {
        let state = state.withLock { $0 }
        let braces = labels.isEmpty ? "" : "{\(labels)}"
        guard kind == .histogram else { return ["\(name)\(braces) \(Self.text(state.value))"] }
        let prefix = labels.isEmpty ? "" : labels + ","
        var lines: [String] = []
        var total: UInt64 = 0
        for (bound, count) in zip(Self.bounds, state.buckets) {
            total += count
            lines.append("\(name)_bucket{\(prefix)le=\"\(Self.text(bound))\"} \(total)")
        }
        lines.append("\(name)_bucket{\(prefix)le=\"+Inf\"} \(state.count)")
        lines.append("\(name)_sum\(braces) \(Self.text(state.value))")
        lines.append("\(name)_count\(braces) \(state.count)")
        return lines
    }

    private static func text(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }
}
