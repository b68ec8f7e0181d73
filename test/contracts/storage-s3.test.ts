// The S3 adapter: the port's contract on a real server, which is also stopped and started.

import { describeWithS3, describeWithS3Server, newBucket, startVersitygw } from '../support/s3.ts'
import { describeStorage, describeStorageOutage } from './storage.ts'

describeWithS3('on S3', () => {
  describeStorage('s3', async () => ({
    options: newBucket(),
    [Symbol.asyncDispose]: async () => {},
  }))
})

describeWithS3Server('on a server of its own', () => {
  describeStorageOutage('s3', async () => {
    const server = await startVersitygw()
    return {
      options: newBucket(server.url),
      takeAway: server.stop,
      bringBack: server.start,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  })
})
