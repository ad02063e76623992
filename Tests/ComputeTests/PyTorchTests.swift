import Compute
import Foundation
import Primitives
import Testing

/// The engine against tensors that PyTorch computed in float64 (Tools/make-fixtures.py).
@Suite("The GPT engine agrees with PyTorch")
struct PyTorchTests {
    let file: SafetensorsFile
    let model: GPTConfiguration
    let sequences: Int
    let length: Int

    init() throws {
        let url = try #require(Bundle.module.url(forResource: "Fixtures/gpt2-tiny", withExtension: "safetensors"))
        file = try SafetensorsFile([UInt8](Data(contentsOf: url)))
        let header = file.header
        func number(_ key: String) throws -> Int { try #require(header.remark(key).flatMap { Int($0) }) }
        model = try GPTConfiguration(
            layers: number("layers"), heads: number("heads"), width: number("width"), context: number("context"),
            vocabulary: number("vocabulary"))
        sequences = try number("sequences")
        length = try number("length")
    }

    /// The largest difference, relative to the tensor's largest number.
    func distance(_ actual: [Float], _ name: String) throws -> Float {
        let expected = try file.floats(name)
        try #require(actual.count == expected.count, "\(name) has another size")
        let size = expected.reduce(0) { max($0, abs($1)) }
        return zip(actual, expected).reduce(0) { max($0, abs($1.0 - $1.1)) } / max(size, 1e-6)
    }

    func stage(_ layers: Range<Int>) throws -> GPTStage {
        let stage = try GPTStage(configuration: model, layers: layers, seed: 0)
        for slot in stage.parameterLayout.slots {
            try stage.setParameter(slot.name, file.floats("parameter/" + slot.name))
        }
        return stage
    }

    @Test("logits, loss and every gradient, then one AdamW step, in one stage and in two")
    func step() throws {
        let tokens = try file.integers("tokens")
        let targets = try file.integers("targets")
        let whole = try stage(0..<2)
        #expect(try distance(whole.logits(tokens, sequences: sequences, length: length), "logits") < 2e-6)
        guard
            case .loss(let loss) = try whole.forward(
                .tokens(tokens), targets: targets, sequences: sequences, length: length, microBatch: 0)
        else { throw ComputeError.wrongStage("no loss from the last stage") }
        let expected = try file.floats("loss")[0]
        #expect(abs(loss - expected) < 1e-6 * expected, "loss \(loss), PyTorch has \(expected)")
        let result = try whole.backward(microBatch: 0)
        #expect(result.input == nil)
        for slot in whole.gradientLayout.slots {
            let difference = try distance(Array(result.parameters[slot.range]), "gradient/" + slot.name)
            #expect(difference < 5e-6, "the gradient of \(slot.name) is off by \(difference) of its size")
        }

        let optimiser = AdamW(AdamW.Configuration(), for: whole)
        try optimiser.step(whole, gradients: result.parameters, learningRate: 0.01, scale: 1)
        for slot in whole.parameterLayout.slots {
            // Adam's first step is the gradient's sign, so a gradient near zero may turn: compare only larger ones.
            let gradient = try file.floats("gradient/" + slot.name)
            let after = try whole.parameter(slot.name)
            let truth = try file.floats("step/" + slot.name)
            for index in after.indices where abs(gradient[index]) > 1e-5 {
                #expect(
                    abs(after[index] - truth[index]) < 2e-5,
                    "\(slot.name)[\(index)] became \(after[index]), PyTorch has \(truth[index])")
            }
        }

        let first = try stage(0..<1)
        let second = try stage(1..<2)
        guard
            case .activations(let middle) = try first.forward(
                .tokens(tokens), sequences: sequences, length: length, microBatch: 4)
        else { throw ComputeError.wrongStage("no activations from the first stage") }
        let output = try second.forward(
            .activations(middle), targets: targets, sequences: sequences, length: length, microBatch: 4)
        guard case .loss(let splitLoss) = output else { throw ComputeError.wrongStage("no loss from the last stage") }
        #expect(splitLoss.bitPattern == loss.bitPattern)
        let upper = try second.backward(microBatch: 4)
        let lower = try first.backward(upper.input, microBatch: 4)
        for (stage, part) in [(first, lower), (second, upper)] {
            for slot in stage.gradientLayout.slots {
                let range = try #require(whole.gradientLayout[slot.name]).range
                #expect(
                    bits(Array(part.parameters[slot.range])) == bits(Array(result.parameters[range])),
                    "the gradient of \(slot.name) depends on the cut")
            }
        }
    }

    @Test("finite differences of the loss agree with the backward pass")
    func finiteDifferences() throws {
        let tokens = try file.integers("tokens")
        let targets = try file.integers("targets")
        let stage = try stage(0..<2)
        func loss() throws -> Double {
            let output = try stage.forward(
                .tokens(tokens), targets: targets, sequences: sequences, length: length, microBatch: 0)
            guard case .loss(let value) = output else { return .nan }
            return Double(value)
        }
        _ = try loss()
        let gradients = try stage.backward(microBatch: 0).parameters
        var random = SeededGenerator(seed: 11)
        for slot in stage.parameterLayout.slots {
            // A step along the gradient's own direction: its slope is the gradient's length, far above rounding.
            let original = try stage.parameter(slot.name)
            var gradient = Array(gradients[slot.range])
            if slot.name == "wte.weight" || stage.gradientLayout[slot.name] == nil {
                let head = try #require(stage.gradientLayout["wte.head"]).range
                gradient = zip(gradients[0..<slot.count], gradients[head]).map { $0 + $1 }
            }
            // Random signs on half of the entries keep the direction from being the gradient itself.
            let direction = gradient.map { random.next() & 3 == 0 ? 0 : $0 }
            let slope = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            let size = direction.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            try #require(size > 0, "\(slot.name) has no gradient at all")
            let step = 0.01 / size
            func shifted(_ amount: Double) throws -> Double {
                try stage.setParameter(
                    slot.name, zip(original, direction).map { $0 + Float(amount * Double($1)) })
                return try loss()
            }
            // Richardson's extrapolation removes the cubic term of the central difference.
            let wide = try (shifted(step) - shifted(-step)) / (2 * step)
            let narrow = try (shifted(step / 2) - shifted(-step / 2)) / step
            let estimate = (4 * narrow - wide) / 3
            try stage.setParameter(slot.name, original)
            #expect(
                abs(estimate - slope) < 0.01 * abs(slope) + 2e-5 * size / 0.01 * 0.1,
                "\(slot.name): finite differences say \(estimate), the backward pass \(slope)")
        }
    }
}
