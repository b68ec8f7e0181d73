import assert from 'node:assert/strict'
import { it } from 'node:test'
import { closestName } from './closest-name.ts'

const names = ['PORT', 'HOST', 'JOB_LEASE', 'DB_PASSWORD', 'DB_PASS', 'OUTBOUND_ALLOW']

for (const [typed, meant] of Object.entries({
  PROT: 'PORT', // two neighbours swapped
  PORTS: 'PORT',
  JOBLEASE: 'JOB_LEASE',
  job_leese: 'JOB_LEASE',
  DB_PASSWD: 'DB_PASSWORD',
  DB_PAS: 'DB_PASS',
  OUTBUOND_ALOW: 'OUTBOUND_ALLOW',
})) {
  it(`${typed} was meant to be ${meant}`, () => assert.equal(closestName(typed, names), meant))
}

for (const typed of ['', 'X', 'TZ', 'PATH', 'NODE_ENV', 'JWT_SECRET']) {
  it(`${typed || 'nothing'} was not meant to be any of them`, () => {
    assert.equal(closestName(typed, names), undefined)
  })
}
