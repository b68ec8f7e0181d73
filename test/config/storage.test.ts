// Which storage the settings mean.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { folderWith, load, mistakes } from './folder.ts'

const keys = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }

describe('the storage', () => {
  it('is S3 once a bucket is named, and AWS with host names of its buckets', () => {
    for (const env of [{ S3_BUCKET_NAME: 'shop' }, { STORAGE_URL: 's3://shop' }]) {
      const { config, warnings } = load(env)
      assert.deepEqual(warnings, [])
      assert.deepEqual(config.storage, {
        kind: 's3',
        bucket: 'shop',
        region: 'us-east-1',
        forcePathStyle: false,
        createBucket: false,
      })
    }
  })

  it('takes everything that is said of it', () => {
    const { config } = load({
      ...keys,
      AWS_BUCKET_NAME: 'shop',
      AWS_REGION: 'eu-west-1',
      AWS_SESSION_TOKEN: 'token',
      S3_ENDPOINT: 'http://minio:9000/',
      S3_URLS: 'presigned',
      S3_URL_LIFETIME: '10m',
      S3_CREATE_BUCKET: 'true',
    })
    assert.deepEqual(config.storage, {
      kind: 's3',
      bucket: 'shop',
      region: 'eu-west-1',
      endpoint: 'http://minio:9000',
      forcePathStyle: true,
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: 'token' },
      signedForMs: 600_000,
      createBucket: true,
    })
  })

  it('is found by the variables of AWS as well, the one of S3 before the one of all services', () => {
    const [of3, all] = ['http://s3:9000', 'http://all:4566']
    for (const [env, endpoint] of [
      [{ AWS_ENDPOINT_URL_S3: of3, AWS_ENDPOINT_URL: all }, of3],
      [{ S3_ENDPOINT: of3, AWS_ENDPOINT_URL: all }, of3],
      [{ AWS_ENDPOINT_URL: all }, all],
    ] as const) {
      const { config, settings, warnings } = load({ S3_BUCKET_NAME: 'shop', ...env })
      assert.ok(config.storage.kind === 's3')
      const { endpoint: found, forcePathStyle } = config.storage
      assert.deepEqual([found, forcePathStyle, warnings], [endpoint, true, []])
      const { value = '' } = settings.find(({ name }) => name === 'S3_ENDPOINT') ?? {}
      assert.equal(new URL(value).origin, endpoint)
    }
  })

  it('of another service has its buckets in the path, unless it is said otherwise', () => {
    const env = { S3_BUCKET_NAME: 'shop', S3_ENDPOINT: 'https://s3.example.com' }
    const styles = [{}, { S3_FORCE_PATH_STYLE: 'false' }].map((style) => {
      const { config, settings } = load({ ...env, ...style })
      const { value } = settings.find(({ name }) => name === 'S3_FORCE_PATH_STYLE') ?? {}
      assert.ok(config.storage.kind === 's3')
      return [config.storage.forcePathStyle, value]
    })
    assert.deepEqual(styles, [
      [true, 'true'],
      [false, 'false'],
    ])
  })

  it('may be said twice, if it is the same', () => {
    const bucket = { STORAGE_URL: 's3://shop', S3_BUCKET_NAME: 'shop' }
    const endpoint = { S3_ENDPOINT: 'http://minio:9000', AWS_ENDPOINT_URL_S3: 'http://minio:9000/' }
    assert.deepEqual(load({ ...bucket, ...endpoint }).warnings, [])
    assert.deepEqual(mistakes({ ...bucket, ...endpoint, S3_ENDPOINT: 'http://other:9000' }), [
      'S3_ENDPOINT and AWS_ENDPOINT_URL_S3 (environment) are the same setting and differ: keep one of them',
    ])
  })

  it('is the one of the stronger source; two names of one strength are a mistake', () => {
    using other = folderWith({ '.env': 'S3_BUCKET_NAME=weak\n' })
    const { storage } = other.load({ env: { STORAGE_URL: 's3://strong' } }).config
    assert.ok(storage.kind === 's3')
    assert.equal(storage.bucket, 'strong')
    assert.deepEqual(mistakes({ STORAGE_URL: 's3://one', S3_BUCKET_NAME: 'two' }), [
      'STORAGE_URL (environment) and S3_BUCKET_NAME (environment) name two buckets: keep one of them',
    ])
  })

  it('tells what cannot be together', () => {
    const bucket = { S3_BUCKET_NAME: 'shop' }
    assert.deepEqual(mistakes({ ...bucket, AWS_ACCESS_KEY: 'id' }), [
      'AWS_ACCESS_KEY (environment) needs AWS_SECRET_ACCESS_KEY beside it',
    ])
    assert.deepEqual(mistakes({ ...bucket, AWS_SECRET_KEY: 'secret' }), [
      'AWS_SECRET_KEY (environment) needs AWS_ACCESS_KEY_ID beside it',
    ])
    const signed = { ...bucket, S3_URLS: 'presigned', S3_PUBLIC_URL: 'https://cdn.example.com' }
    assert.match(
      mistakes(signed).join(),
      /^S3_PUBLIC_URL \(environment\) cannot be used with S3_URLS/,
    )
    for (const path of ['/media', '/api/v1/media/']) {
      const own = {
        ...bucket,
        PUBLIC_URL: 'https://shop.example/',
        S3_PUBLIC_URL: `https://shop.example${path}`,
      }
      assert.match(mistakes(own).join(), /^S3_PUBLIC_URL \(environment\) leads to this service/)
    }
    assert.doesNotThrow(() =>
      load({
        ...bucket,
        PUBLIC_URL: 'https://shop.example',
        S3_PUBLIC_URL: 'https://shop.example/pictures',
      }),
    )
  })

  it('warns of what is set for S3 without a bucket, but not of what all of AWS uses', () => {
    const aws = {
      AWS_REGION: 'eu-west-1',
      AWS_ENDPOINT_URL_S3: 'http://s3',
      AWS_ENDPOINT_URL: 'http://aws',
    }
    const env = { ...keys, ...aws, S3_PUBLIC_URL: 'https://cdn.example.com' }
    const { config, warnings } = load(env)
    assert.equal(config.storage.kind, 'filesystem')
    assert.deepEqual(warnings, [
      'S3_PUBLIC_URL (environment) has no effect: no S3_BUCKET_NAME is set',
    ])
  })

  it('refuses what names no bucket, region or address', () => {
    const wrong = {
      S3_BUCKET_NAME: ['ab', 'a/b', '-shop', 'shop?'],
      STORAGE_URL: ['shop', 's3://', 's3://shop/folder', 's3://key:secret@shop', 'file:///data'],
      AWS_REGION: ['EU', 'eu west', 'eu.example.com'],
      S3_ENDPOINT: ['minio:9000', 'http://key:secret@minio'],
      S3_URL_LIFETIME: ['30s', '8d'],
    }
    for (const [name, values] of Object.entries(wrong))
      for (const value of values) assert.equal(mistakes({ [name]: value }).length, 1, value)
  })
})
