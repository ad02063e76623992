/// The Theil-Sen estimator (Theil 1950, Sen 1968): the median of the slopes between all pairs of points. Up to 29 % of the
/// points may be arbitrarily wrong, which is what a preempted receiver or an interrupting packet makes of some of them.
package enum TheilSen {
    /// Above so many values only some pairs count: the full number of pairs grows with the square.
    private static let allPairsValues = 64

    /// The slope of `values` against their own index; `nil` with fewer than two values.
    ///
    /// Many values are taken in pairs a sixth of them apart, an incomplete form of the estimator. A step, which is what a
    /// pause of the sender makes, is then in every fifth pair and does not reach the median, as two do not.
    package static func slope(_ values: ArraySlice<Double>) -> Double? {
        guard values.count >= 2 else { return nil }
        var slopes: [Double] = []
        let last = values.endIndex - 1
        if values.count > allPairsValues {
            let distance = values.count / 6
            slopes.reserveCapacity(values.count - distance)
            for left in values.startIndex...(last - distance) {
                slopes.append((values[left + distance] - values[left]) / Double(distance))
            }
        } else {
            slopes.reserveCapacity(values.count * (values.count - 1) / 2)
            for left in values.startIndex..<last {
                for right in (left + 1)...last {
                    slopes.append((values[right] - values[left]) / Double(right - left))
                }
            }
        }
        return median(&slopes)
    }

    /// The slope of all values of an array.
    package static func slope(_ values: [Double]) -> Double? { slope(values[...]) }

    /// The median, mean of the middle two for an even count; sorts the array. The array must not be empty.
    package static func median(_ values: inout [Double]) -> Double {
        values.sort()
        let middle = values.count / 2
        return values.count.isMultiple(of: 2) ? (values[middle - 1] + values[middle]) / 2 : values[middle]
    }
}
