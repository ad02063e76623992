/// How the holders of layers exchange their gradients, as far as the problem allows it.
package enum ExchangeStyle: Sendable {
    /// In levels or each with all, whichever suits where the holders of a layer stand (`ExchangeForm`).
    case clustered
    /// Each with all.
    case direct
    /// All peers of the plan add up slices of all layers, whoever holds these, so that all links work (`SpreadExchange`).
    case spread

    /// The styles that make a difference for a problem.
    static func allowed(_ tables: CostTables) -> [ExchangeStyle] {
        var styles: [ExchangeStyle] = tables.exchangeClusters.isEmpty ? [] : [.clustered]
        styles.append(.direct)
        if tables.spreadsExchange { styles.append(.spread) }
        return styles
    }
}
