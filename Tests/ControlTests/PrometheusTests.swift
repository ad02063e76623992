import Control
import Metrics
import Testing

/// The exposition format, by whole texts.
@Suite struct PrometheusTests {
    @Test func countersAndGauges() {
        let registry = PrometheusRegistry()
        let sent = Counter(
            label: "weft.bytes.sent", dimensions: [("class", "control"), ("peer", "a\"b")], factory: registry)
        sent.increment(by: 5)
        sent.increment(by: 2)
        Counter(label: "weft.bytes.sent", dimensions: [("class", "shards")], factory: registry).increment()
        Gauge(label: "weft.peers", factory: registry).record(4)
        let meter = Meter(label: "9 lives", factory: registry)
        meter.set(2.5)
        meter.decrement(by: 1)
        #expect(
            registry.text() == """
                # TYPE _9_lives gauge
                _9_lives 1.5
                # TYPE weft_bytes_sent_total counter
                weft_bytes_sent_total{class="control",peer="a\\"b"} 7
                weft_bytes_sent_total{class="shards"} 1
                # TYPE weft_peers gauge
                weft_peers 4

                """)
    }

    @Test func sameNameIsTheSameSeries() {
        let registry = PrometheusRegistry()
        Counter(label: "a", factory: registry).increment()
        Counter(label: "a", factory: registry).increment()
        FloatingPointCounter(label: "b", factory: registry).increment(by: 0.25)
        #expect(
            registry.text() == "# TYPE a_total counter\na_total 2\n# TYPE b_total counter\nb_total 0.25\n")
    }

    @Test func timersAreHistogramsInSeconds() {
        let registry = PrometheusRegistry()
        let timer = Timer(label: "step", factory: registry)
        timer.recordMilliseconds(2)
        timer.recordMilliseconds(40)
        timer.recordSeconds(1000)
        let lines = registry.text().split(separator: "\n").map(String.init)
        #expect(lines.first == "# TYPE step_seconds histogram")
        #expect(lines.contains("step_seconds_bucket{le=\"0.001\"} 0"))
        #expect(lines.contains("step_seconds_bucket{le=\"0.0025\"} 1"))
        #expect(lines.contains("step_seconds_bucket{le=\"0.05\"} 2"))
        #expect(lines.contains("step_seconds_bucket{le=\"100\"} 2"))
        #expect(
            lines.suffix(3) == [
                "step_seconds_bucket{le=\"+Inf\"} 3", "step_seconds_sum 1000.042", "step_seconds_count 3",
            ])
    }

    @Test func nothingIsNothing() {
        let registry = PrometheusRegistry()
        #expect(registry.text().isEmpty)
        let counter = Counter(label: "gone", factory: registry)
        counter.increment()
        counter.destroy()
        #expect(registry.text().isEmpty)
    }
}
