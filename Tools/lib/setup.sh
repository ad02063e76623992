# Sourced by the scripts of this folder: finds Swift and installs the two system libraries if they are missing.
# Needs bash; changes nothing when everything is there.
# shellcheck shell=bash

# Prints an error for a person and ends the script.
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs a command as root, through sudo if need be.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "this needs root or sudo: $*"
    fi
}

# Swift 6.2 or newer must be on the path (or where its installers put it).
need_swift() {
    local folder version
    for folder in /opt/swift/usr/bin "$HOME/.local/share/swiftly/bin" "$HOME/.swiftly/bin"; do
        if ! command -v swift >/dev/null 2>&1 && [ -x "$folder/swift" ]; then PATH=$PATH:$folder; fi
    done
    command -v swift >/dev/null 2>&1 \
        || fail "Swift is missing: install Swift 6.2 or newer from https://www.swift.org/install and run this again"
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    case $version in
        [0-5].* | 6.[01]) fail "Swift $version is too old: install 6.2 or newer from https://www.swift.org/install" ;;
    esac
}

have_header() {
    local folder
    for folder in /usr/include /usr/local/include /opt/homebrew/include; do
        [ -f "$folder/$1" ] && return 0
    done
    return 1
}

# libsodium everywhere; on Linux also the zlib headers that one of the HTTP packages compiles against.
need_libraries() {
    local missing=()
    if [ "$(uname -s)" = Darwin ]; then
        have_header sodium.h && return 0
        command -v brew >/dev/null 2>&1 || fail "libsodium is missing: install Homebrew (https://brew.sh), then: brew install libsodium"
        brew install libsodium
        return 0
    fi
    have_header sodium.h || missing+=(libsodium-dev)
    have_header zlib.h || missing+=(zlib1g-dev)
    command -v git >/dev/null 2>&1 || missing+=(git)
    [ ${#missing[@]} -eq 0 ] && return 0
    command -v apt-get >/dev/null 2>&1 \
        || fail "missing: ${missing[*]} (names of the Debian packages); install them with your package manager and run this again"
    printf 'Installing %s\n' "${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
}
