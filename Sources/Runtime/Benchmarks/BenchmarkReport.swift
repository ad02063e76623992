/// What `weft bench` measured; keys carry their units.
package struct BenchmarkReport: Codable, Sendable {
    /// One way of moving bytes over loopback between two event loops of one process.
    package struct Stream: Codable, Sendable {
        package var gibibytesPerSecond: Double
        /// Processor time of both sides together.
        package var cpuSecondsPerGibibyte: Double
    }

    package struct Streams: Codable, Sendable {
        /// Bytes of one round, and of one write.
        package var bytesPerRound: Int
        package var chunkBytes: Int
        package var rounds: Int
        /// Medians of interleaved rounds.
        package var plain: Stream
        package var sealed: Stream
        /// The cipher suite of the sealed rounds.
        package var suite: String
        /// Sealed over plain.
        package var ratio: Double
    }

    package struct Multiplication: Codable, Sendable {
        package var instructionSet: String
        package var shape: [Int]
        package var blockedGigaflops: Double
        package var naiveGigaflops: Double
        package var sameBits: Bool
    }

    package var version: String
    package var processors: Int
    package var streams: Streams?
    /// Sealed datagrams of 100 bytes that went over loopback and back, a second; 32 are on their way at a time.
    package var echoesPerSecond: Double?
    /// Complete handshakes a second, both sides computed on one core.
    package var handshakesPerSecond: Double?
    /// Signed gossip entries of 256 bytes verified a second on one core.
    package var entriesVerifiedPerSecond: Double?
    package var multiplication: Multiplication?
}
