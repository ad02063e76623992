/// The one shape in which values of micro-batches 0..<count are added, whoever adds them.
///
/// A node over more than one micro-batch splits at the largest power of two below its width, as RFC 6962's hash tree
/// does. Floating-point addition is not associative: fixing the tree is what makes a sum the same to the last bit for
/// every way of sharing the micro-batches out.
package struct CanonicalTree: Hashable, Sendable {
    /// Micro-batches of a step, at least one.
    package let count: Int

    package init(count: Int) {
        precondition(count > 0, "a tree needs at least one leaf")
        self.count = count
    }

    /// Where a node of at least two leaves splits.
    package static func split(of node: Range<Int>) -> Int {
        let width = node.count
        var power = 1
        while power * 2 < width { power *= 2 }
        return node.lowerBound + power
    }

    /// The sibling of a node and whether the sibling lies to the left; `nil` for the root and for ranges that are no node.
    package func sibling(of node: Range<Int>) -> (range: Range<Int>, isLeft: Bool)? {
        var current = 0..<count
        while current != node, current.count > 1 {
            let split = Self.split(of: current)
            let (left, right) = (current.lowerBound..<split, split..<current.upperBound)
            if left == node { return (right, false) }
            if right == node { return (left, true) }
            current = node.lowerBound < split ? left : right
        }
        return nil
    }

    /// The fewest nodes that make up a range exactly, from left to right: at most two for every level of the tree.
    package func nodes(covering range: Range<Int>) -> [Range<Int>] {
        var nodes: [Range<Int>] = []
        func visit(_ node: Range<Int>) {
            guard node.overlaps(range) else { return }
            if range.lowerBound <= node.lowerBound, node.upperBound <= range.upperBound { return nodes.append(node) }
            let split = Self.split(of: node)
            visit(node.lowerBound..<split)
            visit(split..<node.upperBound)
        }
        visit(0..<count)
        return nodes
    }

    /// Folds leaf values up the tree; `values` has exactly `count` elements.
    package func fold<Value>(_ values: [Value], _ combine: (Value, Value) -> Value) -> Value {
        precondition(values.count == count, "one value for each leaf")
        func value(of node: Range<Int>) -> Value {
            guard node.count > 1 else { return values[node.lowerBound] }
            let split = Self.split(of: node)
            return combine(value(of: node.lowerBound..<split), value(of: split..<node.upperBound))
        }
        return value(of: 0..<count)
    }
}
