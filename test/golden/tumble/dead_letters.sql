SELECT reason, field FROM rejects
