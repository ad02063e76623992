/// Every kernel written down as plainly as its definition allows: the oracle of the vector kernels. The order of each sum
/// is the one that CKernels.h promises.
enum Naive {
    static func exp(_ x: Float) -> Float {
        if x < -87 { return 0 }
        let bounded: Float = 88.3762589 < x ? 88.3762589 : x
        let shifted = Float(12_582_912).addingProduct(bounded, 1.44269502)
        let n = shifted - 12_582_912
        var r = bounded.addingProduct(-n, 0.693359375)
        r = r.addingProduct(-n, -2.12194440e-4)
        var p: Float = 1.9875691500e-4
        for coefficient: Float in [1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1]
        {
            p = coefficient.addingProduct(p, r)
        }
        p = r.addingProduct(p, r * r) + 1
        return p * Float(bitPattern: UInt32(Int32(n) + 127) << 23)
    }

    static func log(_ x: Float) -> Float {
        var exponent = Int32(x.bitPattern >> 23) - 126
        var m = Float(bitPattern: x.bitPattern & 0x007F_FFFF | 0x3F00_0000)
        if m < 0.707106769 {
            exponent -= 1
            m += m
        }
        let f = m - 1
        let z = f * f
        let e = Float(exponent)
        var p: Float = 7.0376836292e-2
        for coefficient: Float in [
            -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
            -2.4999993993e-1, 3.3333331174e-1,
        ] {
            p = coefficient.addingProduct(p, f)
        }
        var y = f * z * p
        y = y.addingProduct(e, -2.12194440e-4)
        y = y.addingProduct(-0.5, z)
        return (f + y).addingProduct(e, 0.693359375)
    }

    /// Joins 16 partial sums by the fixed tree.
    static func tree(_ lanes: [Float], _ join: (Float, Float) -> Float = { $0 + $1 }) -> Float {
        var values = lanes
        for step in [8, 4, 2, 1] {
            for j in 0..<step { values[j] = join(values[j], values[j + step]) }
        }
        return values[0]
    }

    static func sum(_ x: [Float]) -> Float {
        var lanes = [Float](repeating: 0, count: 16)
        for (i, value) in x.enumerated() { lanes[i % 16] += value }
        return tree(lanes)
    }

    static func dot(_ x: [Float], _ y: [Float]) -> Float {
        var lanes = [Float](repeating: 0, count: 16)
        for i in x.indices { lanes[i % 16] = lanes[i % 16].addingProduct(x[i], y[i]) }
        return tree(lanes)
    }

    /// c = (accumulate ? c : 0) + op(a) op(b), every element in plain order over k.
    static func gemm(
        _ m: Int, _ n: Int, _ k: Int, _ a: (Int, Int) -> Float, _ b: (Int, Int) -> Float, start: (Int, Int) -> Float
    ) -> [Float] {
        var c: [Float] = []
        for i in 0..<m {
            for j in 0..<n {
                var sum = start(i, j)
                for p in 0..<k { sum = sum.addingProduct(a(i, p), b(p, j)) }
                c.append(sum)
            }
        }
        return c
    }

    static func layerNorm(_ x: [Float], gain: [Float], bias: [Float]) -> (out: [Float], mean: Float, rstd: Float) {
        let width = Float(x.count)
        let mean = sum(x) / width
        let differences = x.map { $0 - mean }
        let rstd = 1 / (dot(differences, differences) / width + 1e-5).squareRoot()
        let out = x.indices.map { bias[$0].addingProduct((x[$0] - mean) * rstd, gain[$0]) }
        return (out, mean, rstd)
    }

    /// Adds to dx, dgain and dbias.
    static func layerNormBackward(
        dx: inout [Float], dgain: inout [Float], dbias: inout [Float], dout: [Float], x: [Float], mean: Float,
        rstd: Float, gain: [Float]
    ) {
        let width = Float(x.count)
        let normal = x.map { ($0 - mean) * rstd }
        let dn = dout.indices.map { dout[$0] * gain[$0] }
        let meanD = sum(dn) / width
        let meanDN = dot(dn, normal) / width
        for i in x.indices {
            dgain[i] = dgain[i].addingProduct(dout[i], normal[i])
            dbias[i] = dout[i] + dbias[i]
            dx[i] = dx[i].addingProduct((dn[i] - meanD).addingProduct(-normal[i], meanDN), rstd)
        }
    }

    static func gate(_ x: Float) -> Float {
        let inner = x.addingProduct(0.044715, x * x * x)
        return 1 / (1 + exp(-1.59576912 * inner))
    }
    static func gelu(_ x: Float) -> Float { x * gate(x) }
    static func geluDerivative(_ x: Float) -> Float {
        let gate = gate(x)
        let slope = Float(1.59576912).addingProduct(0.214070857, x * x)
        return gate.addingProduct(x, gate * (1 - gate) * slope)
    }

    static func softmax(_ x: [Float], scale: Float) -> [Float] {
        let scaled = x.map { $0 * scale }
        let top = scaled.reduce(-Float.infinity) { $0 > $1 ? $0 : $1 }
        let powers = scaled.map { exp($0 - top) }
        let inverse = 1 / sum(powers)
        return powers.map { $0 * inverse }
    }

    static func crossEntropy(_ logits: [Float], target: Int, scale: Float) -> (loss: Float, gradient: [Float]) {
        let top = logits.reduce(-Float.infinity) { $0 > $1 ? $0 : $1 }
        let powers = logits.map { exp($0 - top) }
        let total = sum(powers)
        let inverse = 1 / total
        var gradient = powers.map { $0 * inverse * scale }
        gradient[target] -= scale
        return (log(total) + (top - logits[target]), gradient)
    }

    /// Causal attention of one head over q, k, v of [time][head width].
    static func attention(
        q: [[Float]], k: [[Float]], v: [[Float]]
    ) -> (out: [[Float]], probabilities: [[Float]]) {
        let time = q.count
        let width = q[0].count
        let scale = 1 / Float(width).squareRoot()
        let scores = gemm(time, time, width, { q[$0][$1] }, { k[$1][$0] }, start: { _, _ in 0 })
        let probabilities = (0..<time).map { row in
            softmax(Array(scores[row * time...row * time + row]), scale: scale)
                + [Float](repeating: 0, count: time - row - 1)
        }
        let out = gemm(time, width, time, { probabilities[$0][$1] }, { v[$0][$1] }, start: { _, _ in 0 })
        return ((0..<time).map { Array(out[$0 * width..<($0 + 1) * width]) }, probabilities)
    }

    /// The gradients of q, k and v.
    static func attentionBackward(
        dout: [[Float]], probabilities p: [[Float]], q: [[Float]], k: [[Float]], v: [[Float]]
    ) -> (dq: [[Float]], dk: [[Float]], dv: [[Float]]) {
        let time = q.count
        let width = q[0].count
        let scale = 1 / Float(width).squareRoot()
        func rows(_ flat: [Float]) -> [[Float]] { (0..<time).map { Array(flat[$0 * width..<($0 + 1) * width]) } }
        let dp = gemm(time, time, width, { dout[$0][$1] }, { v[$1][$0] }, start: { _, _ in 0 })
        var ds = [[Float]](repeating: [Float](repeating: 0, count: time), count: time)
        for row in 0..<time {
            let inside = Array(dp[row * time...row * time + row])
            let total = dot(inside, Array(p[row][0...row]))
            for column in 0...row { ds[row][column] = p[row][column] * (inside[column] - total) * scale }
        }
        return (
            rows(gemm(time, width, time, { ds[$0][$1] }, { k[$0][$1] }, start: { _, _ in 0 })),
            rows(gemm(time, width, time, { ds[$1][$0] }, { q[$0][$1] }, start: { _, _ in 0 })),
            rows(gemm(time, width, time, { p[$1][$0] }, { dout[$0][$1] }, start: { _, _ in 0 }))
        )
    }

    static func normal(key: UInt64, deviation: Float, index: Int) -> Float {
        var sum = -12 * 65535 / 2
        for j in 0..<3 {
            var x = key &+ UInt64(3 * index + j + 1) &* 0x9E37_79B9_7F4A_7C15
            x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
            x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
            x ^= x >> 31
            for part in 0..<4 { sum += Int(x >> (16 * UInt64(part)) & 0xFFFF) }
        }
        return Float(sum) * (deviation * 0x1p-16)
    }
}
