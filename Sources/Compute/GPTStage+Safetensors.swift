extension GPTStage {
    /// The stage's parameters as tensors for a safetensors file, in layout order under GPT-2's names.
    package func tensors() -> [SafetensorsFile.Tensor] {
        parameterLayout.slots.map { slot in
            SafetensorsFile.Tensor(slot.name, shape: slot.shape, values: weights.array(slot.range))
        }
    }

    /// Replaces every parameter from a file that holds at least this stage's tensors, with these shapes.
    ///
    /// Nothing is changed if one is missing or has another shape.
    package func load(_ file: SafetensorsFile) throws(SafetensorsError) {
        var values: [[Float]] = []
        for slot in parameterLayout.slots {
            guard let entry = file.header[slot.name] else { throw .missingTensor(slot.name) }
            guard entry.shape == slot.shape else {
                throw .unsuitableTensor(slot.name, "its shape is \(entry.shape) where the model has \(slot.shape)")
            }
            values.append(try file.floats(slot.name))
        }
        for (slot, numbers) in zip(parameterLayout.slots, values) { weights.replace(at: slot.offset, with: numbers) }
    }
}

extension AdamW {
    /// The running means as tensors named "adam.m.NAME" and "adam.v.NAME", for a checkpoint.
    package func tensors() -> [SafetensorsFile.Tensor] {
        let moments = moments
        return layout.slots.flatMap { slot in
            [
                SafetensorsFile.Tensor(
                    "adam.m." + slot.name, shape: slot.shape, values: Array(moments.first[slot.range])),
                SafetensorsFile.Tensor(
                    "adam.v." + slot.name, shape: slot.shape, values: Array(moments.second[slot.range])),
            ]
        }
    }

    /// Continues from the tensors of `tensors()` after `steps` steps.
    ///
    /// Nothing is changed if one is missing or has another size.
    package func load(_ file: SafetensorsFile, steps: Int) throws {
        var first: [Float] = []
        var second: [Float] = []
        for slot in layout.slots {
            first += try Self.numbers(file, "adam.m." + slot.name, slot)
            second += try Self.numbers(file, "adam.v." + slot.name, slot)
        }
        try restore(first: first, second: second, steps: steps)
    }

    private static func numbers(
        _ file: SafetensorsFile, _ name: String, _ slot: TensorSlot
    ) throws(SafetensorsError) -> [Float] {
        let values = try file.floats(name)
        guard values.count == slot.count else {
            throw .unsuitableTensor(name, "it has \(values.count) numbers where the model has \(slot.count)")
        }
        return values
    }
}
