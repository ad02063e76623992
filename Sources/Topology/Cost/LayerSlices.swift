/// Which part of each layer's gradients each peer adds up.
struct LayerSlices {
    /// By layer and peer.
    var ofLayers: [[Double]]
    /// Those of the tied embedding, by peer; empty without one.
    var tied: [Double] = []

    /// What peers without a slice get of an equal one before slices are fitted anew; a guess.
    static let renewed = 0.05

    /// Those of a piece, with the parts of peers that are not used given to the others in proportion.
    func slices(of piece: GradientExchange.Segment, among isUsed: [Bool]) -> [Double] {
        var slices = piece.isTied ? tied : ofLayers[piece.layers.lowerBound]
        var kept = 0.0
        for peer in slices.indices { if isUsed[peer] { kept += slices[peer] } else { slices[peer] = 0 } }
        guard kept < 1 - 1e-9 else { return slices }
        guard kept > 0 else { return isUsed.map { $0 ? 1 / Double(isUsed.count { $0 }) : 0 } }
        return slices.map { $0 / kept }
    }
}
