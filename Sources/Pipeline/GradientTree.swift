/// The sum of the gradients of a node's micro-batches.
package struct GradientPartial: Sendable {
    /// The micro-batches, a node of the `CanonicalTree`.
    package var node: Range<Int>
    /// The flat sum.
    package var values: [Float]

    package init(node: Range<Int>, values: [Float]) {
        self.node = node
        self.values = values
    }
}

/// Sums the gradients of one contiguous range of micro-batches along the `CanonicalTree`, as they come.
///
/// It holds the sums of complete nodes only, at most two buffers for each level of the tree. All ranges' partials together
/// give the same bits as one range over everything.
package struct GradientTree: Sendable {
    package let tree: CanonicalTree
    /// The micro-batches summed here.
    package let range: Range<Int>
    private var stack: [GradientPartial] = []
    /// The micro-batch whose gradient comes next.
    package private(set) var next: Int

    /// A tree for `range`, a part of the step's 0..<microBatchCount.
    package init(microBatchCount: Int, range: Range<Int>) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= microBatchCount, "a range of the step's micro-batches")
        tree = CanonicalTree(count: microBatchCount)
        self.range = range
        next = range.lowerBound
    }

    /// Whether every micro-batch of the range has been added.
    package var isComplete: Bool { next == range.upperBound }

    /// Adds the flat gradient of micro-batch `next`.
    package mutating func add(_ gradient: consuming [Float]) {
        precondition(!isComplete, "more gradients than micro-batches")
        var sum = GradientPartial(node: next..<(next + 1), values: gradient)
        next += 1
        Self.push(&sum, onto: &stack, of: tree)
    }

    /// The sums so far; once complete, exactly the nodes `tree.nodes(covering: range)`, from left to right.
    package var partials: [GradientPartial] { stack }

    /// Gives the sums up and starts over for the next step.
    package mutating func takePartials() -> [GradientPartial] {
        let partials = stack
        stack = []
        next = range.lowerBound
        return partials
    }

    /// The sum over all micro-batches from the partials of all ranges, in any order; `nil` if they do not cover the tree
    /// exactly or differ in length.
    package static func combine(microBatchCount: Int, _ partials: [GradientPartial]) -> [Float]? {
        let sorted = partials.sorted { $0.node.lowerBound < $1.node.lowerBound }
        guard let first = sorted.first, sorted.allSatisfy({ $0.values.count == first.values.count }) else { return nil }
        let tree = CanonicalTree(count: microBatchCount)
        var stack: [GradientPartial] = []
        for partial in sorted {
            var sum = partial
            push(&sum, onto: &stack, of: tree)
        }
        guard stack.count == 1, stack[0].node == 0..<microBatchCount else { return nil }
        return stack[0].values
    }

    /// Puts a sum on the stack after adding it to every left sibling that is there.
    private static func push(_ sum: inout GradientPartial, onto stack: inout [GradientPartial], of tree: CanonicalTree)
    {
        while let sibling = tree.sibling(of: sum.node), sibling.isLeft, stack.last?.node == sibling.range,
            var left = stack.popLast()
        {
            add(sum.values, to: &left.values)
            sum = GradientPartial(node: left.node.lowerBound..<sum.node.upperBound, values: left.values)
        }
        stack.append(sum)
    }

    /// Left becomes left plus right, element by element; both have one length.
    package static func add(_ right: [Float], to left: inout [Float]) {
        precondition(left.count == right.count, "gradients of one model have one length")
        left.withUnsafeMutableBufferPointer { left in
            right.withUnsafeBufferPointer { right in
                for index in left.indices { left[index] += right[index] }
            }
        }
    }

    /// The mean from the sum: one division an element, the same on every peer.
    package static func mean(ofSum sum: consuming [Float], microBatchCount: Int) -> [Float] {
        var mean = sum
        let count = Float(microBatchCount)
        mean.withUnsafeMutableBufferPointer { mean in
            for index in mean.indices { mean[index] /= count }
        }
        return mean
    }
}
