/// How the holders of layers exchange their gradients, as far as the problem allows it.
package enum ExchangeStyle: Sendable {
    /// In levels or each with all, whichever suits where the holders of a layer stand (`ExchangeForm`).
    case clustered
    /// Each with all.
    case direct
    /// All peers of the plan add up slices of all layers, whoever holds these, so that all links work (`SpreadExchange`).
    case spread
    /// As `spread`, but the holders of every layer have slices that suit their own links (`TailoredSlices`).
    case tailored
    /// As `tailored`, but slices also suit when who has its gradients (`TimedSlices`).
    case timed
    /// As `timed`, but relays gather parts of slices on their way (`RelayedSlices`), and layers are exchanged in smaller pieces.
    case relayed

    /// The styles that make a difference for a problem.
    static func allowed(_ tables: CostTables) -> [ExchangeStyle] {
        var styles: [ExchangeStyle] = tables.exchangeClusters.isEmpty ? [] : [.clustered]
        styles.append(.direct)
        if tables.spreadsExchange { styles += [.spread, .tailored, .timed] }
        // Relays are far too dear to fit for every layout that is looked at: `Layout.withRelays` comes last.
        return styles
    }

    /// The style under which plans are searched first. Tailored slices are too dear for every candidate of a large swarm.
    static func searched(_ tables: CostTables) -> ExchangeStyle {
        guard tables.spreadsExchange else { return .clustered }
        return tables.peers <= mostTailoredPeers ? .tailored : .spread
    }

    private static let mostTailoredPeers = 16

    /// Whether all peers help.
    var isSpread: Bool {
        switch self {
        case .spread, .tailored, .timed, .relayed: true
        case .clustered, .direct: false
        }
    }
}
