/// The Theil-Sen estimator (Theil 1950, Sen 1968): the median of the slopes between all pairs of points. Up to 29 % of the
/// points may be arbitrarily wrong, which is what a preempted receiver or an interrupting packet makes of some of them.
package enum TheilSen {
    /// The slope of `values` against their own index; `nil` with fewer than two values. Cost: O(n² log n), meant for
    /// trains of at most a few hundred packets.
    package static func slope(_ values: [Double]) -> Double? {
        guard values.count >= 2 else { return nil }
        var slopes: [Double] = []
        slopes.reserveCapacity(values.count * (values.count - 1) / 2)
        for left in 0..<(values.count - 1) {
            for right in (left + 1)..<values.count {
                slopes.append((values[right] - values[left]) / Double(right - left))
            }
        }
        return median(&slopes)
    }

    /// The median, mean of the middle two for an even count; sorts the array. The array must not be empty.
    package static func median(_ values: inout [Double]) -> Double {
        values.sort()
        let middle = values.count / 2
        return values.count.isMultiple(of: 2) ? (values[middle - 1] + values[middle]) / 2 : values[middle]
    }
}
