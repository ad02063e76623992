# Findings in Swift sources, one a line. Variables: pure (1 in a pure room), allowed (" Module Module "), platforms (1
# where #if may choose the C library to import, 2 where it may do anything). Plain POSIX awk, a heuristic and not a parser: strings and comments are blanked.
# All files of a room are read twice: pass 1 remembers names declared as dictionary or set, pass 2 reports. A name that
# elsewhere in the room is something else counts only in the file that declares it.

function finding(text) { printf "%s:%d: %s\n", FILENAME, FNR, text }

# Blanks string literals and comments; keeps the column structure irrelevant.
function bare(line,    out, mark) {
    if (in_text) {
        mark = index(line, "\"\"\"")
        if (!mark) return ""
        line = substr(line, mark + 3)
        in_text = 0
    }
    mark = index(line, "\"\"\"")
    if (mark) {
        in_text = 1
        line = substr(line, 1, mark - 1) " \"\" "
    }
    gsub(/\\"/, "", line)
    gsub(/"[^"]*"/, "\"\"", line)
    sub(/\/\/.*/, "", line)
    return line
}

function last_name(text) {
    sub(/[ \t]+$/, "", text)
    sub(/^.*[^A-Za-z0-9_]/, "", text)
    return text
}

FNR == 1 {
    in_text = 0
    previous = ""
}

function is_unordered(name) {
    return ((FILENAME, name) in local) || ((name in unordered) && !(name in ordered))
}

{
    raw = $0
    code = bare(raw)
    excused = (raw ~ /Order-free: ./ || previous ~ /Order-free: ./)
    # A reason may stand a few lines above, in the declaration's comment.
    if (raw ~ /Proof/) proof = FNR + 8
    if (FNR == 1 && raw !~ /Proof/) proof = 0

    if (pass == 1) {
        if (pure && match(code, /(let|var)[ ]+[A-Za-z0-9_]+/)) {
            name = substr(code, RSTART, RLENGTH)
            sub(/^(let|var)[ ]+/, "", name)
            if (code ~ /(let|var)[ ]+[A-Za-z0-9_]+[ ]*(:[ ]*(\[[A-Za-z0-9_.<>]+[ ]*:|Set<|Dictionary<)|=[ ]*(\[[A-Za-z0-9_.<>]+[ ]*:[^]]*\]\(|\[:\]|Set[<(]|Dictionary[<(]))/) {
                unordered[name] = 1
                local[FILENAME, name] = 1
            } else ordered[name] = 1
        }
        previous = raw
        next
    }

    if (code ~ /fatalError\(/) finding("fatalError: throw, or use preconditionFailure for a programmer's error")
    if (code ~ /(^|[^A-Za-z0-9_])try!/) finding("try!: handle the error")
    if (code ~ /(^|[^A-Za-z0-9_])as!/) finding("as!: use as? and handle the failure")
    if (code ~ /@unchecked[ ]+Sendable|nonisolated\(unsafe\)/ && FNR > proof)
        finding("@unchecked Sendable or nonisolated(unsafe) needs a comment that starts with Proof just above")
    if (platforms < 2 && code ~ /^[ \t]*#(if|elseif)[ ].*os\(/ || platforms < 1 && code ~ /^[ \t]*#(if|elseif)[ ].*canImport\((Glibc|Darwin|Musl)/)
        finding("#if on a platform belongs into Primitives or Runtime")

    if (pure) {
        if (code ~ /(^|[ \t])import[ ]/) {
            name = code
            sub(/^.*import[ ]+/, "", name)
            sub(/^(struct|class|enum|func|protocol|var|let|typealias)[ ]+/, "", name)
            sub(/[^A-Za-z0-9_].*$/, "", name)
            if (index(allowed, " " name " ") == 0) finding("a pure room may not import " name)
        }
        if (code ~ /(^|[^A-Za-z0-9_])(async|await)([^A-Za-z0-9_]|$)/) finding("async code in a pure room")
        if (code ~ /\.now([^A-Za-z0-9_]|$)|(^|[^A-Za-z0-9_])(Date|ContinuousClock|SuspendingClock|DispatchTime)[(.]/)
            finding("a clock in a pure room: take the Instant as a parameter")
        if (code ~ /\.random\(/ && code !~ /using:/) finding("unseeded randomness: use SeededGenerator")
        if (code ~ /\.(shuffled|shuffle|randomElement)\(\)|SystemRandomNumberGenerator|UUID\(/)
            finding("unseeded randomness: use SeededGenerator")
        if (code ~ /(^|[^A-Za-z0-9_])(Hasher\(\)|hashValue)/) finding("Swift's hashes are seeded anew in every process")
        if (code ~ /(^|[^A-Za-z0-9_.])print\(/) finding("output in a pure room")

        if (!excused && code !~ /\.sorted|sorted\(/) {
            if (match(code, /(^|[^A-Za-z0-9_])for[ ].*[ ]in[ ][^{]*/)) {
                name = substr(code, RSTART, RLENGTH)
                sub(/^.*[ ]in[ ]+/, "", name)
                sub(/[ ]+where[ ].*$/, "", name)
                sub(/\.(keys|values)[ ]*$/, "", name)
                name = last_name(name)
                if (is_unordered(name)) finding("iterates over \"" name "\" in no order: sort it, or say why it is free")
            } else if (match(code, /[A-Za-z0-9_]+(\.(keys|values))?\.(map|flatMap|compactMap|filter|forEach|reduce|first|min|max|enumerated|popFirst)[ ({]/)) {
                name = substr(code, RSTART, RLENGTH)
                sub(/\..*$/, "", name)
                if (is_unordered(name)) finding("order of \"" name "\": sort it, or say why it is free")
            } else if (match(code, /[A-Za-z0-9_]+\.(keys|values)([^A-Za-z0-9_(.]|$)/)) {
                name = substr(code, RSTART, RLENGTH)
                sub(/\..*$/, "", name)
                if (is_unordered(name)) finding("order of \"" name "\": sort it, or say why it is free")
            }
        }
    }
    previous = raw
}
