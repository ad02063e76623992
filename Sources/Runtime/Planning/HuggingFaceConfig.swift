import Foundation
package import Topology

/// The parts of a Hugging Face `config.json` that size a decoder-only transformer: GPT-2's names and Llama's.
package struct HuggingFaceConfig: Decodable, Sendable {
    var modelType: String?
    var nLayer: Int?
    var nEmbd: Int?
    var nHead: Int?
    var nPositions: Int?
    var nCtx: Int?
    var nInner: Int?
    var vocabSize: Int?
    var numHiddenLayers: Int?
    var hiddenSize: Int?
    var numAttentionHeads: Int?
    var numKeyValueHeads: Int?
    var headDim: Int?
    var intermediateSize: Int?
    var maxPositionEmbeddings: Int?
    var tieWordEmbeddings: Bool?

    private enum CodingKeys: String, CodingKey {
        case modelType = "model_type"
        case nLayer = "n_layer"
        case nEmbd = "n_embd"
        case nHead = "n_head"
        case nPositions = "n_positions"
        case nCtx = "n_ctx"
        case nInner = "n_inner"
        case vocabSize = "vocab_size"
        case numHiddenLayers = "num_hidden_layers"
        case hiddenSize = "hidden_size"
        case numAttentionHeads = "num_attention_heads"
        case numKeyValueHeads = "num_key_value_heads"
        case headDim = "head_dim"
        case intermediateSize = "intermediate_size"
        case maxPositionEmbeddings = "max_position_embeddings"
        case tieWordEmbeddings = "tie_word_embeddings"
    }

    /// Reads a file.
    package static func read(_ path: String) throws(PlanningFileError) -> HuggingFaceConfig {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw PlanningFileError("cannot read \(path): is there such a file, and may you read it?")
        }
        do { return try JSONDecoder().decode(HuggingFaceConfig.self, from: data) } catch {
            throw PlanningFileError("\(path) is not a Hugging Face config.json: \(error)")
        }
    }

    /// The shape; throws a line that names what is missing or unknown.
    package func shape() throws(PlanningFileError) -> TransformerShape {
        let kind = modelType ?? (nEmbd == nil ? "llama" : "gpt2")
        switch kind {
        case "gpt2", "gpt_neo", "gptj", "codegen":
            let width = try need(nEmbd ?? hiddenSize, "n_embd")
            let heads = try need(nHead ?? numAttentionHeads, "n_head")
            return TransformerShape(
                layers: try need(nLayer ?? numHiddenLayers, "n_layer"), width: width, heads: heads,
                keyValueHeads: heads, headWidth: width / heads, innerWidth: nInner ?? 4 * width, isGated: false,
                hasBiases: true, positions: kind == "gpt2" ? nPositions ?? nCtx ?? 1024 : 0,
                vocabulary: try need(vocabSize, "vocab_size"), tiesEmbeddings: tieWordEmbeddings ?? true)
        case "llama", "mistral", "qwen2", "qwen3", "gemma", "phi3":
            let width = try need(hiddenSize, "hidden_size")
            let heads = try need(numAttentionHeads, "num_attention_heads")
            return TransformerShape(
                layers: try need(numHiddenLayers, "num_hidden_layers"), width: width, heads: heads,
                keyValueHeads: try need(numKeyValueHeads ?? heads, "num_key_value_heads"),
                headWidth: try need(headDim ?? width / heads, "head_dim"),
                innerWidth: try need(intermediateSize, "intermediate_size"), isGated: true, hasBiases: false,
                positions: 0, vocabulary: try need(vocabSize, "vocab_size"),
                tiesEmbeddings: tieWordEmbeddings ?? false)
        default:
            throw PlanningFileError(
                "the model type is \"\(kind)\": known are gpt2, gpt_neo, gptj, codegen, llama, mistral, qwen2, qwen3, "
                    + "gemma and phi3")
        }
    }

    /// Tokens of a sequence where none are given: all that the model was made for.
    package var defaultSequenceLength: Int { nPositions ?? nCtx ?? maxPositionEmbeddings ?? 2048 }

    /// Dimensions beyond this are no model's.
    private static let largest = 1 << 26

    private func need(_ value: Int?, _ name: String) throws(PlanningFileError) -> Int {
        guard let value else { throw PlanningFileError("the config.json lacks \"\(name)\"") }
        guard (1...Self.largest).contains(value) else {
            throw PlanningFileError("the config.json has \(name) \(value): it must be from 1 to \(Self.largest)")
        }
        return value
    }
}
