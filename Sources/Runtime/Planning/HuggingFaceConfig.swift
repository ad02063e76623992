import Foundation
package import Topology

/// The parts of a Hugging Face `config.json` that size a decoder-only transformer: GPT-2's names and Llama's.
package struct HuggingFaceConfig: Decodable, Sendable {
    var model_type: String?
    var n_layer: Int?
    var n_embd: Int?
    var n_head: Int?
    var n_positions: Int?
    var n_ctx: Int?
    var n_inner: Int?
    var vocab_size: Int?
    var num_hidden_layers: Int?
    var hidden_size: Int?
    var num_attention_heads: Int?
    var num_key_value_heads: Int?
    var head_dim: Int?
    var intermediate_size: Int?
    var max_position_embeddings: Int?
    var tie_word_embeddings: Bool?

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
        let kind = model_type ?? (n_embd == nil ? "llama" : "gpt2")
        switch kind {
        case "gpt2", "gpt_neo", "gptj", "codegen":
            let width = try need(n_embd ?? hidden_size, "n_embd")
            let heads = try need(n_head ?? num_attention_heads, "n_head")
            return TransformerShape(
                layers: try need(n_layer ?? num_hidden_layers, "n_layer"), width: width, heads: heads,
                keyValueHeads: heads, headWidth: width / heads, innerWidth: n_inner ?? 4 * width, isGated: false,
                hasBiases: true, positions: kind == "gpt2" ? n_positions ?? n_ctx ?? 1024 : 0,
                vocabulary: try need(vocab_size, "vocab_size"), tiesEmbeddings: tie_word_embeddings ?? true)
        case "llama", "mistral", "qwen2", "qwen3", "gemma", "phi3":
            let width = try need(hidden_size, "hidden_size")
            let heads = try need(num_attention_heads, "num_attention_heads")
            return TransformerShape(
                layers: try need(num_hidden_layers, "num_hidden_layers"), width: width, heads: heads,
                keyValueHeads: try need(num_key_value_heads ?? heads, "num_key_value_heads"),
                headWidth: try need(head_dim ?? width / heads, "head_dim"),
                innerWidth: try need(intermediate_size, "intermediate_size"), isGated: true, hasBiases: false,
                positions: 0, vocabulary: try need(vocab_size, "vocab_size"),
                tiesEmbeddings: tie_word_embeddings ?? false)
        default:
            throw PlanningFileError(
                "the model type is \"\(kind)\": known are gpt2, gpt_neo, gptj, codegen, llama, mistral, qwen2, qwen3, "
                    + "gemma and phi3")
        }
    }

    /// Tokens of a sequence where none are given: all that the model was made for.
    package var defaultSequenceLength: Int { n_positions ?? n_ctx ?? max_position_embeddings ?? 2048 }

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
