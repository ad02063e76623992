/// One named tensor's place in a flat buffer.
package struct TensorSlot: Hashable, Sendable {
    package let name: String
    /// Row-major dimensions.
    package let shape: [Int]
    /// The index of its first number.
    package let offset: Int

    package var count: Int { shape.reduce(1, *) }
    package var range: Range<Int> { offset..<offset + count }
    /// Weight decay touches only these.
    package var isMatrix: Bool { shape.count >= 2 }
}

/// Named tensors one after another, without gaps.
package struct TensorLayout: Hashable, Sendable {
    package private(set) var slots: [TensorSlot] = []
    /// Numbers in all tensors.
    package private(set) var count = 0
    private var indices: [String: Int] = [:]

    package init() {}

    package mutating func append(_ name: String, _ shape: [Int]) {
        precondition(indices[name] == nil, "tensor \(name) twice in a layout")
        let slot = TensorSlot(name: name, shape: shape, offset: count)
        indices[name] = slots.count
        slots.append(slot)
        count += slot.count
    }

    package subscript(name: String) -> TensorSlot? { indices[name].map { slots[$0] } }
}

extension TensorLayout {
    /// The parameters of blocks `layers` under GPT-2's names. A stage that starts at block 0 begins with the embeddings;
    /// one that ends at the last block ends with the final norm and, unless it also holds the embeddings, with its own
    /// copy of the shared token table.
    package static func parameters(_ model: GPTConfiguration, layers: Range<Int>) -> TensorLayout {
        var layout = blocks(model, layers: layers, tokenTable: "wte.weight")
        if layers.upperBound == model.layers, layers.lowerBound != 0 {
            layout.append("wte.weight", [model.vocabulary, model.width])
        }
        return layout
    }

    /// The gradients of one micro-batch on blocks `layers`: the parameters' places, with the shared token table's two
    /// gradients apart, "wte.embed" on the first stage and "wte.head" at the end of the last. A parameter's gradient has
    /// the parameter's own offset.
    package static func gradients(_ model: GPTConfiguration, layers: Range<Int>) -> TensorLayout {
        var layout = blocks(model, layers: layers, tokenTable: "wte.embed")
        if layers.upperBound == model.layers { layout.append("wte.head", [model.vocabulary, model.width]) }
        return layout
    }

    private static func blocks(_ model: GPTConfiguration, layers: Range<Int>, tokenTable: String) -> TensorLayout {
        let width = model.width
        var layout = TensorLayout()
        if layers.lowerBound == 0 {
            layout.append(tokenTable, [model.vocabulary, width])
            layout.append("wpe.weight", [model.context, width])
        }
        for layer in layers {
            let prefix = "h.\(layer)."
            layout.append(prefix + "ln_1.weight", [width])
            layout.append(prefix + "ln_1.bias", [width])
            layout.append(prefix + "attn.c_attn.weight", [width, 3 * width])
            layout.append(prefix + "attn.c_attn.bias", [3 * width])
            layout.append(prefix + "attn.c_proj.weight", [width, width])
            layout.append(prefix + "attn.c_proj.bias", [width])
            layout.append(prefix + "ln_2.weight", [width])
            layout.append(prefix + "ln_2.bias", [width])
            layout.append(prefix + "mlp.c_fc.weight", [width, 4 * width])
            layout.append(prefix + "mlp.c_fc.bias", [4 * width])
            layout.append(prefix + "mlp.c_proj.weight", [4 * width, width])
            layout.append(prefix + "mlp.c_proj.bias", [width])
        }
        if layers.upperBound == model.layers {
            layout.append("ln_f.weight", [width])
            layout.append("ln_f.bias", [width])
        }
        return layout
    }

    /// Where the tensors of one block lie in a layout that holds it.
    package func range(ofLayer layer: Int) -> Range<Int>? {
        guard let first = self["h.\(layer).ln_1.weight"], let last = self["h.\(layer).mlp.c_proj.bias"] else {
            return nil
        }
        return first.offset..<last.range.upperBound
    }
}
