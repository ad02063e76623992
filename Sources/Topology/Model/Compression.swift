extension PlanningProblem {
    /// How much smaller tensors become on a link that compresses: bytes sent for a byte of the plain tensor.
    package struct Compression: Hashable, Sendable {
        package var name: String
        /// Activations, forwards.
        package var activationFactor: Double
        /// Their gradients, backwards.
        package var activationGradientFactor: Double
        /// Gradients of the weights, between replicas.
        package var gradientFactor: Double

        package init(
            name: String, activationFactor: Double, activationGradientFactor: Double, gradientFactor: Double
        ) {
            self.name = name
            self.activationFactor = activationFactor
            self.activationGradientFactor = activationGradientFactor
            self.gradientFactor = gradientFactor
        }

        /// Whether anything shrinks.
        package var isLossy: Bool { activationFactor < 1 || activationGradientFactor < 1 || gradientFactor < 1 }

        /// Everything as it is.
        package static let none = Compression(
            name: "none", activationFactor: 1, activationGradientFactor: 1, gradientFactor: 1)

        /// The kinds that `--compression` knows, for elements of these sizes. All but `none` and `bf16` for f32 tensors
        /// change what is learnt, within the proofs of their papers.
        ///
        /// * `int8`: 8 bits for everything, one scale in 128 elements.
        /// * `aq-sgd`: 4 bits forward, 8 bits backward (Wang et al. 2022, AQ-SGD, its defaults; one f16 scale a channel of a
        ///   micro-batch, which vanishes) and 8-bit gradients with a scale in 512 elements (its QuantizedAdam).
        /// * `cocktail-sgd`: aq-sgd's activations, and gradients by random and top-k sparsification with 4 bits: 0.1825 bits
        ///   a parameter (Wang et al. 2023, CocktailSGD, its RedPajama setting).
        package static func named(
            _ name: String, activationElementBytes: Double, gradientElementBytes: Double
        ) -> Compression? {
            func bits(_ wanted: Double, of bytes: Double) -> Double { min(1, wanted / (8 * bytes)) }
            let activation = activationElementBytes
            let gradient = gradientElementBytes
            switch name {
            case "none": return Compression.none
            case "bf16":
                return Compression(
                    name: name, activationFactor: bits(16, of: activation),
                    activationGradientFactor: bits(16, of: activation), gradientFactor: bits(16, of: gradient))
            case "int8":
                let wanted = 8 + 16.0 / 128
                return Compression(
                    name: name, activationFactor: bits(wanted, of: activation),
                    activationGradientFactor: bits(wanted, of: activation),
                    gradientFactor: bits(wanted, of: gradient))
            case "aq-sgd":
                return Compression(
                    name: name, activationFactor: bits(4, of: activation),
                    activationGradientFactor: bits(8, of: activation),
                    gradientFactor: bits(8 + 16.0 / 512, of: gradient))
            case "cocktail-sgd":
                return Compression(
                    name: name, activationFactor: bits(4, of: activation),
                    activationGradientFactor: bits(8, of: activation), gradientFactor: bits(0.1825, of: gradient))
            default: return nil
            }
        }

        /// The names that `named` knows.
        package static let names = ["none", "bf16", "int8", "aq-sgd", "cocktail-sgd"]
    }
}
