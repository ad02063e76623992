package import Primitives

extension Signer {
    /// Signs with a hash that anybody could compute: as deterministic as a real signature and a hundred times cheaper. Of
    /// use only where the forger is part of the simulation and does not use this function.
    package static func simulated(_ peer: PeerID) -> Signer {
        Signer(
            peer: peer, sign: { simulatedSignature(peer, $0, $1) },
            verify: { peer, signature, message, context in signature == simulatedSignature(peer, message, context) })
    }

    private static func simulatedSignature(_ peer: PeerID, _ message: [UInt8], _ context: String) -> [UInt8] {
        // FNV-1a over words in two lanes, spread by the finaliser of SplitMix64: a run checks millions of them.
        var (left, right) = (peer.prefix, UInt64(context.utf8.count) ^ 0xCBF2_9CE4_8422_2325)
        message.withUnsafeBytes { memory in
            var offset = 0
            while offset + 8 <= memory.count {
                let word = memory.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian
                left = (left ^ word) &* 0x0000_0100_0000_01B3
                right = (right ^ (word &+ left >> 29)) &* 0x9E37_79B9_7F4A_7C15
                offset += 8
            }
            for byte in memory[offset...] { left = (left ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        }
        return (0..<8).flatMap { lane in
            var value = left &+ right &* (2 * UInt64(lane) + 1)
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            value ^= value >> 31
            return withUnsafeBytes(of: value.littleEndian) { Array($0) }
        }
    }
}
