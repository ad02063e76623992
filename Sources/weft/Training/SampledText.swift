import Compute
import Foundation
import Runtime

/// Text from a trained model.
enum SampledText {
    /// Continues the prompt's bytes; `onByte` sees each one as it is drawn.
    static func bytes(
        after prompt: String, checkpoint: String, count: Int, temperature: Double, topK: Int, seed: UInt64,
        onByte: (UInt8) -> Void = { _ in }
    ) throws -> [UInt8] {
        let model = try CheckpointDirectory.open(checkpoint).model()
        let generator = try Generator(
            stage: model, sampler: Sampler(temperature: temperature, topK: topK), seed: seed)
        let tokens = try generator.generate(prompt: ByteTokeniser.encode(prompt), count: count) { token in
            for byte in ByteTokeniser.decode([token]) { onByte(byte) }
        }
        return ByteTokeniser.decode(tokens)
    }

    /// The same as text; bytes that are no UTF-8 are replaced, and control characters left out.
    static func continuation(
        of prompt: String, checkpoint: String, count: Int, temperature: Double, topK: Int, seed: UInt64
    ) throws -> String {
        let drawn = try bytes(
            after: prompt, checkpoint: checkpoint, count: count, temperature: temperature, topK: topK, seed: seed)
        return String(
            String(decoding: drawn, as: UTF8.self).unicodeScalars.filter {
                $0 == "\n" || $0.properties.generalCategory != .control
            }.map(Character.init))
    }
}

/// Runs long arithmetic on a thread of its own, so that it never holds one of the few that all tasks share.
func onOwnThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        let thread = Thread { continuation.resume(with: Result { try body() }) }
        thread.name = "weft-compute"
        thread.stackSize = 8 << 20
        thread.start()
    }
}
