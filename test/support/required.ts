// What may be left out on a newcomer's machine and must not be where everything is installed.

/**
 * For the option `skip` of a test: the reason, when something is missing; false, when nothing is.
 * Throws instead of skipping when VITRINE_TEST_REQUIRE (names, separated by commas) asks for `service`.
 */
export function skipUnlessRequired(service: string, missing: string | undefined): string | false {
  if (missing === undefined) return false
  const required = (process.env.VITRINE_TEST_REQUIRE ?? '').split(',').map((name) => name.trim())
  if (required.includes(service)) throw new Error(`${service} is required, but ${missing}`)
  return missing
}
