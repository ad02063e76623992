import Runtime
import Testing

@Suite struct BenchmarksTests {
    /// The figures of a debug build mean nothing; that every part runs and is consistent does.
    @Test func everyPartRuns() async throws {
        let report = try await Benchmarks.run(version: "test", seconds: 0.1) { _ in }
        let streams = try #require(report.streams)
        #expect(streams.plain.gibibytesPerSecond > 0)
        #expect(streams.sealed.gibibytesPerSecond > 0)
        #expect(streams.ratio > 0)
        #expect(try #require(report.echoesPerSecond) > 10)
        #expect(try #require(report.handshakesPerSecond) > 10)
        #expect(try #require(report.entriesVerifiedPerSecond) > 100)
        #expect(report.multiplication?.sameBits == true)
    }
}
